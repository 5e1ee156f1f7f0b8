"""An ASGI application that calls an LLM: `uvicorn --workers 2 asgi_app:app`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import telemetry
from any_llm import AnyLLM

_llm: AnyLLM | None = None


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer every request with the model's answer."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    assert _llm is not None
    answer = await _llm.acompletion(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Say hello."}]
    )
    text = str(answer.choices[0].message.content).encode()
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/plain; charset=utf-8")],
        }
    )
    await send({"type": "http.response.body", "body": text})


async def _lifespan(
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Set up and shut down once per worker, like a lifespan function of FastAPI or Starlette."""
    global _llm
    await receive()
    telemetry.set_up()
    _llm = AnyLLM.create("openai")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    telemetry.shut_down()
    await send({"type": "lifespan.shutdown.complete"})

"""A WSGI application that calls an LLM: `gunicorn --config gunicorn_conf.py wsgi_app:application`."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable
from typing import Any

from any_llm import AnyLLM

_making = threading.Lock()


def llm() -> AnyLLM:
    """Return the client of this process, built at its first use: never before the fork.

    Without the lock, threads whose first calls are simultaneous would build a client each.
    """
    with _making:
        return _made()


@functools.cache
def _made() -> AnyLLM:
    return AnyLLM.create("openai")


def application(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    """Answer every request with the model's answer."""
    answer = llm().completion(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Say hello."}]
    )
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [str(answer.choices[0].message.content).encode()]

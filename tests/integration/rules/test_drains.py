"""Streams whose last item arrives before the server ends the response."""

import asyncio
import json

import pytest

from opentelemetry.instrumentation.gluellm import diagnose, snapshot
from support.script import Reply

openai = pytest.importorskip("openai")

CALLS = 10
ITEM = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
ITEM["choices"] = [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}]
ITEMS = [(0.6, f"data: {json.dumps(ITEM)}\n\n".encode()), (0.0, b"data: [DONE]\n\n")]


@pytest.mark.parametrize("client", ["DefaultAsyncHttpxClient", "DefaultAioHttpClient"])
def test_complete_stream_is_served_although_its_rest_is_cancelled(client, server, telemetry):
    """openai's SDK waits 0.1 s for the end of the body, and then cancels its own wait."""
    server.reply("/chat/completions", Reply(chunks=tuple(ITEMS), end_after=0.3))

    async def read_all() -> None:
        async with openai.AsyncOpenAI(
            api_key="key", base_url=server.origin, http_client=getattr(openai, client)()
        ) as llm:

            async def read() -> list[object]:
                stream = await llm.chat.completions.create(model="m", messages=[], stream=True)
                return [item async for item in stream]

            answers = await asyncio.gather(*(read() for _ in range(CALLS)))
        assert [len(items) for items in answers] == [1] * CALLS

    asyncio.run(read_all())
    assert telemetry.requests() == {(200, None): CALLS}
    assert "calls_cut_short" not in {finding.kind for finding in diagnose(snapshot())}
    assert "cancelled" not in telemetry.closed()

"""Calls of the SDKs of groq, together, cerebras, fireworks, Google and Mistral."""

import gc
import json
from collections.abc import Callable
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm import snapshot
from support.fake_llms import ANSWERS
from support.http1 import HTTP1Server
from support.script import Failure, Reply
from support.waiting import until

from .ledger import Ledger

pytestmark = [pytest.mark.anyio, pytest.mark.all_sdks]
MESSAGES = [{"role": "user", "content": "hi"}]
STAINLESS = ("groq", "together", "cerebras", "fireworks")
JSON = (("content-type", "application/json"),)
EVENTS = (("content-type", "text/event-stream"),)
_CHUNK = {
    "id": "c",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}],
}


def reply(body: Any, status: int = 200, **more: Any) -> Reply:
    return Reply(status=status, headers=JSON, chunks=((0, json.dumps(body).encode()),), **more)


def events(*items: Any, end: bytes = b"data: [DONE]\n\n", **more: Any) -> Reply:
    chunks = [(0.05, b"data: %s\n\n" % json.dumps(item).encode()) for item in items]
    return Reply(headers=EVENTS, chunks=(*chunks, (0, end)), **more)


REFUSED = reply({"error": {"message": "no", "code": 429, "status": "RESOURCE_EXHAUSTED"}}, 429)


class Client:
    """A client of an SDK, and how it makes calls."""

    def __init__(self, sdk: str, url: str, *, is_async: bool) -> None:
        self.path, self.chunk, self.end = "/chat/completions", _CHUNK, b"data: [DONE]\n\n"
        self.answer = ANSWERS[self.path]
        self.is_async = is_async
        make: Callable[[str], Any] = {
            "google-genai": self._google, "mistralai": self._mistral
        }.get(sdk) or (lambda url: self._stainless(sdk, url))  # fmt: skip
        self.call, self.stream = make(url)

    def _stainless(self, sdk: str, url: str) -> Any:
        import cerebras.cloud.sdk
        import fireworks
        import groq
        import together

        packages = {
            "groq": (groq.Groq, groq.AsyncGroq, {}),
            "together": (together.Together, together.AsyncTogether, {}),
            "fireworks": (fireworks.Fireworks, fireworks.AsyncFireworks, {}),
            "cerebras": (
                cerebras.cloud.sdk.Cerebras,
                cerebras.cloud.sdk.AsyncCerebras,
                {"warm_tcp_connection": False},
            ),
        }
        *classes, more = packages[sdk]
        client = classes[self.is_async](api_key="any", base_url=url, **more)
        create = client.chat.completions.create
        call = lambda **more: create(model="m", messages=MESSAGES, **more)  # noqa: E731
        self.path = {
            "groq": "/openai/v1/chat/completions",
            "cerebras": "/v1/chat/completions",
            "fireworks": "/v1/chat/completions",
        }.get(sdk, self.path)
        return call, lambda: call(stream=True)

    def _google(self, url: str) -> Any:
        from google import genai

        client = genai.Client(
            api_key="any",
            http_options={
                "base_url": url,
                "retry_options": {"attempts": 3, "initial_delay": 0.1, "jitter": 0},
            },
        )
        models = client.aio.models if self.is_async else client.models
        self.keep = client
        self.path = "/v1/models/m:generateContent"
        self.chunk = self.answer = ANSWERS[":generateContent"]
        self.end = b""
        arguments = {"model": "m", "contents": "hi"}
        return (
            lambda: models.generate_content(**arguments),
            lambda: models.generate_content_stream(**arguments),
        )

    def _mistral(self, url: str) -> Any:
        from mistralai.client import Mistral
        from mistralai.client.utils import BackoffStrategy, RetryConfig

        retry = RetryConfig("backoff", BackoffStrategy(100, 100, 1, 5_000), True)
        client = Mistral(api_key="any", server_url=url, retry_config=retry)
        suffix = "_async" if self.is_async else ""
        self.path = "/v1/chat/completions"
        arguments = {"model": "m", "messages": MESSAGES}
        return (
            lambda: getattr(client.chat, f"complete{suffix}")(**arguments),
            lambda: getattr(client.chat, f"stream{suffix}")(**arguments),
        )

    @property
    def stream_path(self) -> str:
        return self.path.replace(":generateContent", ":streamGenerateContent")

    async def ask(self) -> None:
        made = self.call()
        if self.is_async:
            await made

    async def read(self, *, all_of_it: bool = True) -> None:
        stream = self.stream()
        if self.is_async:
            async for _ in await stream:
                if not all_of_it:
                    return
        else:
            for _ in stream:
                if not all_of_it:
                    return


@pytest.fixture(params=[*STAINLESS, "google-genai", "mistralai"])
def sdk(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def client(sdk: str, server: HTTP1Server, request: pytest.FixtureRequest, ledger: Any) -> Client:
    return Client(sdk, server.origin, is_async=request.param)


@pytest.fixture
def server(listen: Any) -> HTTP1Server:
    """In place of the fake provider, which has the APIs of openai and anthropic only."""
    return listen(HTTP1Server)


PROVIDERS = {"google-genai": "gemini", "mistralai": "mistral"}


async def test_call_refused_twice(
    sdk: str, client: Client, server: HTTP1Server, ledger: Ledger
) -> None:
    """Its retries, pauses and answer are one call."""
    server.reply(client.path, REFUSED, REFUSED, reply(client.answer, head_after=0.2))
    await client.ask()
    calls = ledger.calls
    assert (calls.source, calls.provider) == ("sdk", PROVIDERS.get(sdk, sdk))
    ledger.check("succeeded", retries=2, requesting=0.2, backoff=0.2)
    ledger.telemetry.collect()
    (span,) = ledger.telemetry.spans("gluellm.call")
    assert span.attributes["gen_ai.request.model"] == "m"


async def test_streams(client: Client, server: HTTP1Server, ledger: Ledger) -> None:
    """A stream that is read succeeds, a dropped one is abandoned, a broken one fails."""
    whole = events(*[client.chunk] * 3, end=client.end)
    server.reply(client.stream_path, whole)
    await client.read()
    ledger.check("succeeded", requesting=0.15)
    await client.read(all_of_it=False)
    await until(
        lambda: (gc.collect() and False) or not ledger.calls.in_flight,
        "the end of the dropped stream",
    )
    assert {n: c for n, c in ledger.calls.outcomes.items() if c} == {"succeeded": 1, "abandoned": 1}
    server.reply(client.stream_path, events(client.chunk, end=b"", failure=Failure.RESET_IN_BODY))
    with pytest.raises(Exception):  # noqa: B017
        await client.read()
    assert ledger.calls.outcomes["failed"] == 1
    assert ledger.calls.errors == {"read_error": 1}


async def test_call_that_fails(client: Client, server: HTTP1Server, ledger: Ledger) -> None:
    """Its ``error.type`` is the status."""
    server.reply(client.path, reply({"error": {"message": "no"}}, 400))
    with pytest.raises(Exception):  # noqa: B017
        await client.ask()
    assert ledger.calls.outcomes["failed"] == ledger.calls.ended == 1
    assert ledger.calls.errors == {"400": 1}


async def test_vertex_is_a_provider_of_its_own(server: HTTP1Server, ledger: Ledger) -> None:
    """The same SDK speaks to two platforms."""
    from google import genai
    from google.oauth2.credentials import Credentials

    client = genai.Client(
        vertexai=True,
        credentials=Credentials(token="any"),
        project="p",
        location="us-central1",
        http_options={"base_url": server.origin},
    )
    path = "/v1beta1/projects/p/locations/us-central1/publishers/google/models/m"
    server.reply(f"{path}:generateContent", reply(ANSWERS[":generateContent"]))
    client.models.generate_content(model="m", contents="hi")
    (calls,) = snapshot().process.calls
    assert (calls.source, calls.provider) == ("sdk", "vertexai")

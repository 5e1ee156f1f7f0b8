"""Nothing is added to what is sent: with the instrumentation on and off it is the same bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hyperframe.frame import Frame

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import Runner
from support.fake_llms import MODEL, FakeLLMs
from support.grpc_server import GrpcServer
from support.http1 import HTTP1Server
from support.http2 import HTTP2Server
from support.libraries import Library
from support.listener import Listen
from support.network import Certificates
from support.script import Reply
from support.telemetry import Telemetry

from .canaries import Canaries
from .conftest import EVERYTHING, Record
from .outcomes import secrets_in_context
from .recorder import Recorder, hello_of
from .test_requests import CELLS as EVERY_CELL

BODY = json.dumps({"prompt": "hi " * 50}).encode()
HEADERS = (("x-first", "1"), ("authorization", "Bearer key"), ("X-Last", "2"))
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def off_and_on(send: Callable[[], Any]) -> tuple[Any, Any]:
    """What is sent without the instrumentation, and with all of it, in a trace with baggage."""
    telemetry = Telemetry()
    with secrets_in_context(Canaries()):
        without = send()
        GlueLLMInstrumentor().instrument(
            meter_provider=telemetry.meter_provider,
            tracer_provider=telemetry.tracer_provider,
            **EVERYTHING,
        )
        try:
            within = send()
        finally:
            GlueLLMInstrumentor().uninstrument()
            told = telemetry.count(semconv.LEASE_DURATION)
            telemetry.shutdown()
    assert told, "it was off"
    return without, within


CELLS = [cell for cell in EVERY_CELL if cell[0] != "grpc"]  # which has a test of its own


@pytest.mark.parametrize(("name", "mode"), CELLS)
def test_bytes_of_http(
    name: str,
    mode: str,
    start_runner: Callable[[str], Runner],
    listen: Listen,
    record_property: Record,
) -> None:
    """Two requests on a kept connection, one with a body and one refused: head, order, chunks."""
    server = listen(HTTP1Server)
    server.reply("/v1/x", Reply(), Reply(status=401), Reply(), Reply(status=401))
    recorder = listen(Recorder, behind=server.port)
    runner = start_runner(mode)
    library = Library.load("aiohttp" if "aiohttp" in name else name)

    def send() -> list[bytes]:
        if name in ("aiohttp", "urllib3"):
            pool = runner.pool(library)
        else:
            pool = runner.client(library, verify=False)
        for body in (BODY, b""):
            exchange = pool.send(recorder.url("/v1/x?a=b"), body=body, headers=HEADERS)
            exchange.head()
            exchange.read()
        pool.close()
        return recorder.take()

    without, within = off_and_on(send)
    record_property("bytes of requests compared", len(b"".join(without)))
    assert within == without
    assert len(without) == 1
    assert without[0].count(b"HTTP/1.1") == 2
    for header in (b"traceparent", b"tracestate", b"baggage", b"b3:"):
        assert header not in without[0].lower()


@pytest.mark.parametrize(("name", "mode"), CELLS)
def test_chunks_of_a_body_that_is_streamed(
    name: str, mode: str, listen: Listen, record_property: Record
) -> None:
    """Each piece is a chunk of its own, as the application made it."""
    server = listen(HTTP1Server)
    recorder = listen(Recorder, behind=server.port)
    pieces = [b"a" * 10, b"b" * 3, b"c"]

    async def asynchronous() -> None:
        async def body() -> Any:
            for piece in pieces:
                yield piece

        if name == "aiohttp":
            import aiohttp

            async with aiohttp.ClientSession() as session:
                await (await session.post(recorder.url("/"), data=body())).read()
            return
        if name == "httpx over aiohttp":
            import httpx_aiohttp

            client: Any = httpx_aiohttp.HttpxAiohttpClient(trust_env=False)
        else:
            client = Library.load(name).client.AsyncClient(trust_env=False, verify=False)
        async with client:
            await client.post(recorder.url("/"), content=body())

    def send() -> list[bytes]:
        if mode == "asyncio":
            asyncio.run(asynchronous())
        elif name == "urllib3":
            import urllib3

            with urllib3.PoolManager() as manager:
                manager.request("POST", recorder.url("/"), body=iter(pieces), chunked=True)
        else:
            with Library.load(name).client.Client(trust_env=False, verify=False) as client:
                client.post(recorder.url("/"), content=iter(pieces))
        return recorder.take()

    without, within = off_and_on(send)
    record_property("bytes of requests compared", len(b"".join(without)))
    assert within == without
    assert without[0].endswith(b"\r\na\r\naaaaaaaaaa\r\n3\r\nbbb\r\n1\r\nc\r\n0\r\n\r\n")


@pytest.mark.parametrize(("name", "mode"), CELLS)
def test_hello_of_tls(
    name: str,
    mode: str,
    start_runner: Callable[[str], Runner],
    listen: Listen,
    certificates: Certificates,
    record_property: Record,
) -> None:
    """Extensions in order, the names and protocols in them, ciphers, versions."""
    server = listen(HTTP1Server, tls=certificates.server("h2", "http/1.1"))
    recorder = listen(Recorder, behind=server.port)
    runner = start_runner(mode)
    library = Library.load("aiohttp" if "aiohttp" in name else name)
    url = f"https://localhost:{recorder.port}/"

    def send() -> list[bytes]:
        context = certificates.client()
        if name in ("aiohttp", "urllib3"):
            pool = runner.pool(library, ssl_context=context)
        else:
            pool = runner.client(library, verify=context)
        with contextlib.suppress(Exception):
            pool.get(url)
        pool.close()
        return recorder.take()

    without, within = off_and_on(send)
    assert [hello_of(sent) for sent in within] == [hello_of(sent) for sent in without]
    hello = hello_of(without[0])
    assert b"localhost" in hello.contents[0]
    record_property("extensions of TLS compared", len(hello.extensions))


def frames_of(sent: bytes) -> list[tuple[str, bytes]]:
    """Name and content of each frame of HTTP/2 but those that answer the peer's, in order."""
    assert sent.startswith(PREFACE)
    rest, found = sent[len(PREFACE) :], []
    while rest:
        frame, length = Frame.parse_frame_header(memoryview(rest[:9]))
        content = rest[9 : 9 + length]
        if not (frame.type in (4, 6) and "ACK" in frame.flags) and frame.type not in (6, 8):
            found.append((f"{type(frame).__name__} {sorted(frame.flags)}", content))
        rest = rest[9 + length :]
    return found


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
@pytest.mark.parametrize("mode", ["sync", "asyncio"])
def test_frames_of_http2(
    name: str,
    mode: str,
    start_runner: Callable[[str], Runner],
    listen: Listen,
    record_property: Record,
) -> None:
    """Settings, headers as they are compressed, and data, in order."""
    server = listen(HTTP2Server)
    recorder = listen(Recorder, behind=server.port)
    runner = start_runner(mode)

    def send() -> list[bytes]:
        pool = runner.pool(Library.load(name), http1=False, http2=True)
        exchange = pool.send(recorder.url("/v1/x"), body=BODY, headers=HEADERS)
        exchange.head()
        exchange.read()
        pool.close()
        return recorder.take()

    without, within = off_and_on(send)
    frames = frames_of(without[0])
    assert [frames_of(sent) for sent in within] == [frames_of(sent) for sent in without]
    assert {name.split()[0] for name, _ in frames} >= {"SettingsFrame", "HeadersFrame", "DataFrame"}
    record_property("frames of HTTP/2 compared", len(frames))


@pytest.mark.parametrize("mode", ["sync", "asyncio"])
def test_metadata_of_grpc(
    mode: str, start_runner: Callable[[str], Runner], listen: Listen, record_property: Record
) -> None:
    """Settings, a call's metadata as it is compressed, and its message."""
    server = listen(GrpcServer)
    server.reply("/a/b", Reply())
    recorder = listen(Recorder, behind=server.port)
    runner = start_runner(mode)

    def send() -> list[tuple[str, bytes]]:
        pool = runner.client(Library.load("grpc"))
        exchange = pool.send(recorder.url("/a/b"), body=b"x", headers=(("authorization", "key"),))
        exchange.head()
        exchange.read()
        pool.close()
        (sent,) = recorder.take()
        return [frame for frame in frames_of(sent) if not frame[0].startswith("GoAway")]

    without, within = off_and_on(send)
    assert within == without
    assert {name.split()[0] for name, _ in without} >= {"SettingsFrame", "HeadersFrame"}
    record_property("frames of HTTP/2 compared", len(without))


_OF_THE_MOMENT = re.compile(
    rb"(?im)^(x-amz-date|authorization: AWS4|amz-sdk-invocation-id|x-amz-user-agent).*$"
)
PROVIDERS = {"openai": "/v1", "anthropic": "", "gemini": "", "bedrock": ""}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_calls_of_any_llm(
    provider: str,
    listen: Listen,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
) -> None:
    """Each family of SDKs: httpx and httpx2, aiohttp, urllib3; a call and one that is streamed."""
    pytest.importorskip("any_llm")
    pytest.importorskip({"gemini": "google.genai", "bedrock": "boto3"}.get(provider, provider))
    from any_llm import AnyLLM

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    server = listen(FakeLLMs)
    recorder = listen(Recorder, behind=server.port)
    question: Any = [{"role": "user", "content": "hi"}]

    async def call() -> None:
        options = {} if provider == "bedrock" else {"api_key": "key"}
        llm = AnyLLM.create(provider, api_base=recorder.url(PROVIDERS[provider]), **options)
        await llm.acompletion(model=MODEL, messages=question, max_tokens=5)
        with contextlib.suppress(Exception):  # the fake's answer is no stream
            async for _ in await llm.acompletion(
                model=MODEL, messages=question, max_tokens=5, stream=True
            ):
                pass

    def send() -> list[bytes]:
        asyncio.run(call())
        return [_OF_THE_MOMENT.sub(rb"\1", sent) for sent in recorder.take(closed=False)]

    without, within = off_and_on(send)
    record_property("bytes of requests compared", len(b"".join(without)))
    assert b"".join(within) == b"".join(without)
    assert b"".join(without).count(b" HTTP/1.1\r\n") >= 2
    assert b"traceparent" not in b"".join(within)

"""Clients of each library for each kind of server, all used through exchanges."""

import asyncio
import math
import random
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import anthropic
import any_llm
import grpc
import httpx
import httpx2
import openai
import urllib3
from anyio.from_thread import start_blocking_portal

from gluellm_pools.fake_provider import Behaviour, FakeProviderThread
from studies.load.servers import Origin, Sent, origins
from support.clients import PoolUnderTest, Runner
from support.exchange import Exchange, Opened, TaskExchange, ThreadExchange
from support.libraries import Library
from support.listener import ServerLoop
from support.network import Certificates
from support.script import Failure, Reply

TIMEOUT: Final = 0.6
CUTS: Final = ("reset_before_head", "reset_in_body", "eof_before_head", "eof_in_body")
REPLIES: Final = {
    "ok": Reply(),
    "slow": Reply(head_after=0.15),
    "chunks": Reply(chunks=tuple((0.01, b"token " * 4) for _ in range(12))),
    "busy": Reply(status=503),
    "hangs": Reply(head_after=3600.0),
    **{name: Reply(failure=Failure[name.upper()]) for name in CUTS},
}
"""The answers of every server: paths of HTTP and gRPC, models of the fake provider."""
_COLLECTORS: Final = (
    *(REPLIES["reset_before_head"], Reply(status=400), Reply(status=503)),
    *(Reply(head_after=0.8, chunks=()), Reply(head_after=2.5, chunks=()), Reply(chunks=())),
)
"""Answers of an OTLP receiver: it drops the connection, rejects, is slow, hangs, or accepts."""
_WEIGHTS: Final = (1, 1, 1, 1, 1, 5)
_BEHAVIOURS: Final = {
    "slow": Behaviour(head_delay=0.15),
    "chunks": Behaviour(tokens=12, token_rate=100),
    "busy": Behaviour(status=503),
    "hangs": Behaviour(head_delay=math.inf),
    "reset_before_head": Behaviour(reset_before_head=True),
    "reset_in_body": Behaviour(reset_after=3),
    "eof_before_head": Behaviour(drop_reused=True),
    "eof_in_body": Behaviour(hang_up_after=3),
}
_HTTP: Final = {
    "TLS": ("tls", None),
    "a certificate that is not trusted": ("distrusted", None),
    "a handshake that is cut": ("cutting", None),
    "a handshake without an answer": ("silent", None),
    "a port that refuses": ("refused", None),
    "a server that is silent": ("silent", None),
    "a forward proxy": ("plain", "proxy"),
    "a tunnel": ("tls", "proxy"),
    "a proxy that refuses tunnels": ("tls", "refusing proxy"),
    "a proxy that is silent": ("plain", "silent"),
}
"""Where clients go besides the plain server: the kind of the origin and of the proxy."""
_GRPC: Final = {
    "a port that refuses": ("refused", None),
    "a handshake that is cut": ("grpc that cuts", None),
    "a server that is silent": ("silent", None),
}
EXPECTED: Final = (
    *(httpx.HTTPError, httpx.StreamError, httpx2.HTTPError, httpx2.StreamError),
    *(aiohttp.ClientError, TimeoutError, urllib3.exceptions.HTTPError),
    # A channel or a connector that is closed cancels its requests.
    *(grpc.RpcError, grpc.aio.UsageError, asyncio.CancelledError, ValueError),
    *(openai.OpenAIError, anthropic.AnthropicError, any_llm.exceptions.AnyLLMError),
)
"""The exceptions that a request may end with."""


class AnyLLM(PoolUnderTest):
    """An instance of one provider. A URL's path names the model."""

    def __init__(self, runner: Runner, provider: str, base: str, pool: float) -> None:
        library = httpx if provider == "anthropic" else httpx2
        timeout = library.Timeout(TIMEOUT, pool=pool)
        self._llm: Any = any_llm.AnyLLM.create(
            provider, api_key="any", api_base=base, max_retries=0, timeout=timeout
        )
        self._runner = runner
        super().__init__(Library.load(library.__name__), self._llm.client)

    def send(self, url: str, **_: Any) -> Exchange:
        runner, model = self._runner, url.rpartition("/")[2]
        stream, messages = model in ("chunks", *CUTS), [{"role": "user", "content": "hi"}]
        options = {"model": model, "messages": messages, "max_tokens": 16, "stream": stream}

        async def pieces(answer: Any) -> AsyncGenerator[bytes]:
            if stream:
                async for _ in answer:
                    yield b"x"

        def opening() -> Opened:
            answer = self._llm.completion(**options)
            chunks = (b"x" for _ in (answer if stream else ()))
            return Opened(200, chunks, chunks.close)

        async def opening_async() -> Opened:
            chunks = pieces(await self._llm.acompletion(**options))
            return Opened(200, chunks, chunks.aclose)

        if runner.portal is None:
            return ThreadExchange(opening)
        return TaskExchange(runner.portal, runner.mode, opening_async)

    def _close(self) -> None:
        # any-llm's sync calls run in its own loop, where their client can't be closed from here.
        if self._runner.portal is not None:
            self._runner.portal.call(self.raw.close)


@dataclass(slots=True)
class Client:
    """A client, its base URL and the timeouts of its requests."""

    under_test: PoolUnderTest
    base: str
    timeouts: dict[str, float]

    def send(self, answer: str) -> Sent:
        """Send a request."""
        return Sent(self.under_test.send(f"{self.base}/{answer}", **self.timeouts))

    @property
    def raw(self) -> Any:
        """The library's own client; for gRPC its channel, once it was used."""
        raw = self.under_test.raw
        return next(iter(raw.values()), None) if isinstance(raw, dict) else raw


@dataclass(slots=True)
class Servers:
    """All servers of a run."""

    origins: dict[str, Origin]
    context: ssl.SSLContext
    openai: str
    anthropic: str
    remembered: deque[Any]
    """Requests that the fake provider remembers; they reach their limit of 10 000 after minutes."""

    def client(
        self, name: str, runner: Runner, where: str = "", connections: int = 6, pool: float = 0.5
    ) -> Client:
        """A new client of a library; ``where`` names its kind of server."""
        library, _, provider = name.partition(" ")
        kind, proxy = self.wheres(name).get(where, ("grpc" if library == "grpc" else "plain", None))
        base = self.origins[kind].base
        if "handshake" in where and library != "grpc":
            base = base.replace("http:", "https:")
        if library == "any-llm":
            if not where:
                base = {"openai": self.openai, "anthropic": self.anthropic}[provider]
            return Client(AnyLLM(runner, provider, base, pool), base, {})
        timeouts = dict.fromkeys(("connect", "read", "write"), TIMEOUT) | {"pool": pool}
        settings: dict[str, Any] = {}
        if library == "grpc":
            timeouts = {"read": TIMEOUT}  # one deadline for all of a call
        else:
            if proxy is not None:
                settings["proxy"] = self.origins[proxy].base
            settings |= {"max_connections": connections, "ssl_context": self.context}
        loaded = Library.load(library)
        if library.startswith("httpx"):
            limits = loaded.limits_of_client(settings.pop("max_connections"))
            settings["verify"] = settings.pop("ssl_context")
            under_test = loaded.whole_client(runner, **settings, **limits, http2=kind == "http2")
        else:
            under_test = loaded.pool(runner, **settings)
        return Client(under_test, base, timeouts)

    @staticmethod
    def wheres(name: str) -> dict[str, tuple[str, str | None]]:
        """The kinds of servers that a library's clients use, besides a plain one."""
        if name.startswith("any-llm"):
            return {"a port that refuses": ("refused", None)}
        if name == "grpc":
            return _GRPC
        return _HTTP | ({"HTTP/2": ("http2", None)} if name.startswith("httpx") else {})


@contextmanager
def serving() -> Iterator[tuple[Servers, str]]:
    """The servers, and the address of an OTLP receiver that accepts some requests."""
    certificates, loop, rng = Certificates.make(), ServerLoop(), random.Random(1)
    kinds = {kind for pair in (*_HTTP.values(), *_GRPC.values()) for kind in pair if kind}
    kinds |= {"http2", "grpc", "another plain"}
    # Clients break connections on purpose, which needn't be logged.
    loop.loop.set_exception_handler(lambda *_: None)
    with (
        origins(certificates, *kinds, loop=loop, recorded=False) as started,
        FakeProviderThread(behaviour=lambda r: _BEHAVIOURS.get(r.model or "", Behaviour())) as fake,
    ):
        for kind in ("plain", "tls", "http2", "grpc"):
            for path, reply in REPLIES.items():
                started[kind].url(f"/{path}", reply)
        collector = started["another plain"]
        for path in ("/v1/metrics", "/v1/traces"):
            collector.server.reply(path, *rng.choices(_COLLECTORS, _WEIGHTS, k=10_000))
        urls = fake.openai_url, fake.anthropic_url
        servers = Servers(started, certificates.client(), *urls, fake.requests)
        yield servers, collector.base
    loop.stop()


@contextmanager
def running(mode: str) -> Iterator[Runner]:
    """A runner; ``uvloop`` is asyncio on that loop."""
    if mode != "uvloop":
        with Runner.start(mode) as runner:
            yield runner
        return
    with start_blocking_portal("asyncio", backend_options={"use_uvloop": True}) as portal:
        yield Runner("asyncio", portal)
        portal.start_task_soon(portal.stop, True)

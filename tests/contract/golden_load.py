"""The load for the golden telemetry: every row of the outcome table, for each library.

A scenario sends requests and calls ``take()`` at each moment whose telemetry is compared.
"""

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import SpanKind, use_span

from gluellm_pools.fake_provider import Behaviour, FakeProvider
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import PoolUnderTest, Runner
from support.deaf import MORE_THAN_BUFFERS, DeafServer
from support.exchange import Exchange
from support.grpc_server import GrpcServer
from support.http1 import HTTP1Server
from support.http2 import HTTP2Server
from support.libraries import Library
from support.listener import Listen
from support.network import UNRESOLVABLE, Certificates, refused_url, unreachable
from support.proxies import HTTPProxy
from support.script import Failure, Reply
from support.waiting import wait_until

from .cells import MODES
from .test_upgrades import Switching, asking_for

HTTPX = ("httpx", "httpx2")
HTTP = (*HTTPX, "aiohttp", "urllib3")
ALL = (*HTTP, "grpc")
ASYNC = ("asyncio", "trio")
FULL = {"metrics": "full", "time_in_queue": True, "span_min_duration": 0}


@dataclass
class Play:
    """One run of a scenario, with a library and a runner."""

    library: Library
    runner: Runner
    recording: Any
    listen: Listen
    certificates: Certificates
    http2: bool = False
    silence: float = 0.1
    """Read timeout for servers that send no more, in seconds."""
    late: bool = False
    """Whether that timeout expired before the head, which makes the play invalid."""
    callers: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.telemetry, self.take = self.recording.telemetry, self.recording.take
        self.is_grpc = self.library.name == "grpc"

    def server(self, kind: Any = None, **settings: Any) -> Any:
        """Start a server of this kind, by default one of the run's protocol."""
        usual = GrpcServer if self.is_grpc else HTTP2Server if self.http2 else HTTP1Server
        server = self.listen(kind or usual, **settings)
        self.recording.name_port(server.port)
        return server

    def secure(self, *, trusted: bool = True, **settings: Any) -> Any:
        """Start a server with TLS; return it and the settings of a pool for it."""
        issuer = self.certificates
        tls = issuer.server("h2") if self.is_grpc or self.http2 else issuer.server()
        if self.is_grpc:
            root = issuer.authority.cert_pem.bytes() if trusted else None
            client: dict[str, Any] = {"credentials": grpc.ssl_channel_credentials(root)}
        else:
            client = {"ssl_context": issuer.client() if trusted else issuer.distrusting_client()}
        return self.server(tls=tls, **settings), client

    def pool(self, **settings: Any) -> PoolUnderTest:
        """Make a pool. A channel has no limit on connections, so that setting is dropped."""
        if self.is_grpc:
            settings.pop("max_connections", None)
        elif self.http2:
            settings |= {"http1": False, "http2": True}
        return self.runner.pool(self.library, **settings)

    def send(self, pool: Any, url: str, /, *, ask: bool = False, **more: Any) -> Exchange:
        """Start a request inside its own CLIENT span."""
        self.recording.name_port(urlsplit(url).port)
        tracer = self.telemetry.tracer_provider.get_tracer("caller")
        caller = tracer.start_span(f"caller {len(self.callers)}", kind=SpanKind.CLIENT)
        self.callers.append(caller)
        with use_span(caller):
            exchange: Exchange = (pool.ask if ask else pool.send)(url, **more)
        return exchange

    def run(self, pool: Any, url: str, /, **more: Any) -> None:
        """Send a request and read its response, or let it fail."""
        finish(self.send(pool, url, **more))

    def hold(self, pool: Any, server: Any, path: str = "/held", **reply: Any) -> Any:
        """Start a request; its response ends when the returned gate opens."""
        gate = server.gate()
        exchange = self.send(pool, server.reply(path, Reply(end_after=gate, **reply)))
        exchange.head()
        return exchange, gate

    def read(self, exchange: Exchange) -> None:
        """Begin to read a held response."""
        exchange.chunk()
        already = self.telemetry.current("reading")
        exchange.begin_read()
        self.wait_for("reading", already + 1)

    def wait_for(self, phase: str, number: int = 1) -> None:
        """Wait until this number of requests is in a phase."""
        wait_until(lambda: self.telemetry.current(phase) == number, phase)


def finish(*exchanges: Exchange) -> None:
    """Read the responses to their end, or let the requests fail."""
    for exchange in exchanges:
        exchange.begin_read()
    for exchange in exchanges:
        exchange.wait()


@dataclass(frozen=True, slots=True)
class Scenario:
    """A part of the load, and the libraries and runners that play it."""

    name: str
    play: Callable[[Play], None]
    libraries: tuple[str, ...]
    modes: tuple[str, ...]
    settings: dict[str, Any]
    http2: bool = False


SCENARIOS: list[Scenario] = []


def scenario(
    *libraries: str,
    modes: tuple[str, ...] = ("sync", *ASYNC),
    http2: bool = False,
    **variants: dict[str, Any],
) -> Any:
    """Add a scenario, its variants (name and settings), and one over HTTP/2 if requested."""

    def add(play: Callable[[Play], None]) -> None:
        name = play.__name__
        SCENARIOS.append(Scenario(name, play, libraries, modes, FULL))
        for variant, settings in variants.items():
            SCENARIOS.append(Scenario(f"{name}_{variant}", play, libraries, modes, settings))
        if http2:
            SCENARIOS.append(Scenario(f"{name}_over_http2", play, HTTPX, modes, FULL, http2=True))

    return add


def scenarios(library: str) -> Iterator[tuple[str, Scenario]]:
    """Yield each runner and scenario of a library."""
    for mode in MODES[library]:
        for each in SCENARIOS if (library, mode) != ("httpx2", "trio") else ():  # as in httpx
            if library in each.libraries and mode in each.modes:
                yield mode, each


@contextlib.contextmanager
def full_pool(play: Play) -> Iterator[tuple[Any, str]]:
    """A pool without a free connection, and a URL to request from it."""
    if play.is_grpc:
        yield play.pool(), refused_url()
        return
    server, pool = play.server(), play.pool(max_connections=1)
    holder, gate = play.hold(pool, server)
    yield pool, server.url()
    gate.open()
    finish(holder)


@scenario(
    *ALL, http2=True, by_default={"span_min_duration": 60}, at_one_origin={"max_origins": 1, **FULL}
)
def served(play: Play) -> None:
    server, pool = play.server(), play.pool(max_connections=3)
    for status in (200, 201, 429, 503):
        play.run(pool, server.reply("/", Reply(status=status)))
    stream, gate = play.hold(pool, server, headers=(("content-type", "text/event-stream"),))
    play.read(stream)
    play.take("reading")
    gate.open()
    finish(stream)
    if play.is_grpc:
        play.run(pool, server.url("/one"), ask=True)
        play.run(pool, server.url("/one"), ask=True, pool=5)
    play.take("served")
    pool.close()
    play.take("closed")
    with suppress_instrumentation():  # suppresses spans only
        play.run(play.pool(), play.server().url())
    play.take("suppressed")


@scenario(*ALL)
def secured(play: Play) -> None:
    server, settings = play.secure()
    play.run(play.pool(**settings), server.url())
    play.take("TLS")
    if play.is_grpc:
        return
    proxy = play.server(HTTPProxy)
    for way, url in (("tunnel", server.url()), ("forwarding", play.server().url())):
        pool = play.pool(proxy=play.library.core.Proxy(proxy.origin), **settings)
        for _ in range(2):
            play.run(pool, url)
        play.take(way)


@scenario(*HTTP)
def queued(play: Play) -> None:
    server, pool = play.server(), play.pool(max_connections=1)
    holder, gate = play.hold(pool, server)
    waiter = play.send(pool, server.url(), pool=30)
    play.wait_for("queued")
    play.take("queued")
    gate.open()
    finish(holder, waiter)
    play.take("served")


@scenario(*ALL)
def timed_out(play: Play) -> None:
    with full_pool(play) as (pool, url):
        play.run(pool, url, pool=0.05)
    play.take("pool")
    with unreachable() as url:  # open until the end: no other server may get its port
        if not play.is_grpc:
            play.run(play.pool(), url, connect=0.05)
        server, settings = play.secure(setup_after=30)
        play.run(play.pool(**settings), server.url(), connect=0.1)
    play.take("connect")
    server, pool = play.server(), play.pool()
    for reply in (Reply(head_after=server.gate()), Reply(end_after=server.gate())):
        play.run(pool, server.url())
        silent = play.send(pool, server.reply("/silent", reply), read=play.silence)
        finish(silent)
    play.late = not silent.answered
    play.take("read")
    if play.library.name in (*HTTPX, "urllib3"):
        url = play.server(DeafServer).url()
        play.run(play.pool(), url, body=bytes(MORE_THAN_BUFFERS), write=0.05)
        play.take("write")


@scenario(*ALL)
def not_connected(play: Play) -> None:
    server, settings = play.secure(trusted=False)
    play.run(play.pool(), refused_url())
    play.take("refused")
    play.run(play.pool(), UNRESOLVABLE)
    play.take("unresolvable")
    play.run(play.pool(**settings), server.url())
    play.take("distrusted")


@scenario(*ALL, http2=True)
def broken_off(play: Play) -> None:
    server, pool = play.server(), play.pool()
    for failure in Failure:
        if not (play.http2 and "end of file" in failure):  # reported as an end or as a reset
            play.run(pool, server.reply("/", Reply(failure=failure)))
    play.take("broken off")
    play.run(pool, server.url("/fine"))
    play.run(pool, server.reply("/", Reply(failure=Failure.RESET_BEFORE_HEAD)))
    play.take("reused")


@scenario(*ALL, modes=ASYNC)
def cancelled_early(play: Play) -> None:
    with full_pool(play) as (pool, url):
        exchange = play.send(pool, url, pool=30)
        play.wait_for("queued")
        if play.is_grpc:
            state, channels = "transient_failure", semconv.CHANNEL_CURRENT
            wait_until(lambda: play.telemetry.value(channels, channel=state), state)
        exchange.cancel()
    play.take("while queued")
    server, settings = play.secure(setup_after=30)
    exchange = play.send(play.pool(**settings), server.url())
    server.timeline.wait_for("hello")
    play.wait_for("connecting")
    play.take("connecting")
    exchange.cancel()
    play.take("while connecting")


@scenario(*ALL, modes=ASYNC, http2=True)
def cancelled_later(play: Play) -> None:
    server, pool = play.server(), play.pool()
    play.run(pool, server.url())
    unanswered = play.send(pool, server.reply("/", Reply(head_after=server.gate())))
    play.wait_for("awaiting_response")
    unread, _ = play.hold(pool, server)
    read, _ = play.hold(pool, server)
    play.read(read)
    play.take("in flight")
    for exchange in (read, unread, unanswered):
        exchange.cancel()
    play.take("cancelled")


@scenario(*ALL, http2=True)
def closed_early(play: Play) -> None:
    server, pool = play.server(), play.pool()
    for _ in range(2):
        exchange, _ = play.hold(pool, server)
        exchange.chunk()
        exchange.close()
    play.take("closed")


@scenario(*ALL)
def connections_end(play: Play) -> None:
    server, name = play.server(), play.library.name
    pool = play.pool()
    play.run(pool, server.url())
    core = weakref.ref(pool.core)
    pool.forget()
    wait_until(lambda: gc.collect() + 1 and core() is None, "the pool is collected")
    play.take("garbage_collected")
    if play.is_grpc:
        return
    pool = play.pool()
    play.run(pool, server.reply("/close", Reply(headers=(("Connection", "close"),))))
    play.run(pool, server.url())
    server.hang_up()
    wait_until(lambda: pool.connections[0].has_expired())
    play.run(pool, server.url())
    play.take("connection_close, server_disconnect")
    if name in HTTPX:
        pool = play.pool(keepalive_expiry=0.05)
        play.run(pool, server.url())
        wait_until(lambda: pool.connections[0].has_expired())
        play.run(pool, play.server().url())
        play.take("keepalive_expired")
        pool = play.pool(max_connections=1)
        play.run(pool, server.url())
        play.run(pool, play.server().url())
        play.take("evicted")
    if name != "aiohttp":
        pool = play.pool(max_connections=3, max_keepalive_connections=1)
        holder, gate = play.hold(pool, server)
        play.run(pool, server.url())
        gate.open()
        finish(holder)
        play.take("keepalive_limit")


@scenario("httpx", "httpx2", "aiohttp")
def websocket(play: Play) -> None:
    url = play.server(Switching).url()
    exchange = play.send(play.pool(), url, headers=asking_for("websocket"))
    exchange.head()
    play.take("open")
    exchange.close()
    play.take("closed")


@scenario(http2=True)
def shared(play: Play) -> None:
    (server, settings), gate = play.secure(max_streams=1), play.server().gate()
    server.setup_after, pool = gate, play.pool(**settings)
    exchanges = []
    for number in (1, 2):
        exchanges.append(play.send(pool, server.url()))
        play.wait_for("connecting", number)
    gate.open()
    finish(*exchanges)
    play.take("set-up")
    holder, gate = play.hold(pool, server)
    waiter = play.send(pool, server.url())
    play.wait_for("stream_queued")
    play.take("stream_queued")
    gate.open()
    finish(holder, waiter)
    play.take("served")
    server.go_away()
    play.run(pool, server.url("/second"))
    play.take("GOAWAY")


def faults(play: Play, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Start a leak, client churn and the library's anomalies; return a function that ends them."""
    server = play.server()

    def read(pool: Any, path: str) -> Any:
        gate = server.gate()
        exchange = play.send(pool, server.reply(path, Reply(end_after=gate)))
        exchange.begin_read()  # an unread response would be another leak
        server.timeline.wait_for("head", path)
        return exchange, gate

    leaked, _ = play.hold(play.pool(), server, "/leaked")
    for _ in range(10):
        churned = play.pool()
        play.run(churned, server.url())
        churned.close()
    if play.is_grpc:
        return leaked.close
    if play.library.name != "urllib3":
        losing = play.pool(max_connections=2)
        play.run(losing, server.url())
        losing.lose_connection()
        play.run(losing, server.url())
    forgetful, late = play.pool(max_connections=1), play.pool(max_connections=1)
    first, gate = read(forgetful, "/first")
    waiter = play.send(forgetful, server.url(), pool=60)
    wait_until(lambda: forgetful.queued == 1)
    forgetful.skip_one_pass()
    gate.open()
    finish(first)
    holder, end = read(late, "/held")
    late.wait_without_timeout(monkeypatch)
    overdue = play.send(late, server.url(), pool=0.1)

    def end_all() -> None:
        leaked.close()
        end.open()
        finish(waiter, play.send(forgetful, server.url()), holder, overdue)

    return end_all


def any_llm_calls(play: Play) -> None:
    """Play a call whose first request gets a 429 and is resent, and a streamed call."""
    any_llm = pytest.importorskip("any_llm")
    question: Any = {"model": "model-1", "messages": [{"role": "user", "content": "hi"}]}

    async def call() -> None:
        async with FakeProvider() as provider:
            url = provider.anthropic_url
            play.recording.name_port(urlsplit(url).port)
            provider.script(Behaviour(status=429, retry_after=0.01))
            llm = any_llm.AnyLLM.create("anthropic", api_key="any", api_base=url)
            await llm.acompletion(**question)
            async for _ in await llm.acompletion(stream=True, **question):
                pass
            play.take("called")
            await llm.client.close()

    asyncio.run(call())
    play.take("closed")

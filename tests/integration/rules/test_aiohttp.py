"""The rules that were learned with httpcore, for aiohttp."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import signal
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from opentelemetry import baggage, context
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from opentelemetry.instrumentation.gluellm.pool.lease import Call
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.metrics import DurationObserver
from opentelemetry.instrumentation.gluellm.telemetry.spans import SpanObserver
from support.http1 import HTTP1Server
from support.script import Failure, Reply
from support.telemetry import Telemetry
from support.waiting import until

from .conftest import Instrument, Run
from .test_failures import EVENTS, fail
from .told import KNOWN, SECRET, everything

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


async def get(session: aiohttp.ClientSession, url: str) -> None:
    """A whole request."""
    async with session.get(url) as response:
        await response.read()


def test_finalizer_inside_the_sdks_locks_does_not_hang(server: HTTP1Server, run: Run) -> None:
    """Whatever aiohttp's finalizers and those of its users reach."""
    silent = server.reply("/silent", Reply(head_after=server.gate()))
    server.reply("/streamed", Reply(end_after=server.gate()))
    assert run("aiohttp_finalizers.py", server.url("/answers"), silent).strip().endswith("done")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_child_starts_empty(server: HTTP1Server, run: Run) -> None:
    """Nothing of the parent's is told twice, and each goes on with what is its own."""
    late = server.reply("/late", Reply(head_after=1.0))
    printed = run("aiohttp_fork.py", server.url(), late).splitlines()
    child, parent = (json.loads(line) for line in printed if line.startswith("{"))
    for metric in (semconv.LEASE_DURATION, semconv.POOL_LIVE, semconv.REQUESTS):
        assert metric.name not in child["before"]
    assert child["after"][semconv.REQUESTS.name] == 1
    assert child["after"][semconv.POOL_OPENED.name] == 1
    assert child["after"][semconv.ACTIVE_REQUESTS.name] == 0
    assert parent["before"][semconv.REQUESTS.name] == 3
    assert parent["before"][semconv.ACTIVE_REQUESTS.name] == 1
    assert parent["after"][semconv.REQUESTS.name] == 4
    assert parent["after"][semconv.ACTIVE_REQUESTS.name] == 0


# Retention


async def _whole(session: aiohttp.ClientSession, url: str) -> None:
    await get(session, url)


async def _unread(session: aiohttp.ClientSession, url: str) -> None:
    await session.get(url + "streamed")


async def _cancelled(session: aiohttp.ClientSession, url: str) -> None:
    task = asyncio.ensure_future(get(session, url + "silent"))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])


async def _closed(session: aiohttp.ClientSession, url: str) -> None:
    await get(session, url)
    await session.close()


@pytest.mark.parametrize("way", [_whole, _unread, _cancelled, _closed])
def test_connector_task_and_loop_go_with_their_last_reference(
    server: HTTP1Server,
    telemetry: Telemetry,
    way: Callable[[aiohttp.ClientSession, str], Awaitable[None]],
) -> None:
    """A loop per call, as programs make it that call asyncio.run() again and again."""
    server.reply("/silent", Reply(head_after=server.gate()))
    server.reply("/streamed", Reply(end_after=server.gate()))
    references: list[weakref.ref[Any]] = []

    async def main() -> None:
        session = aiohttp.ClientSession()
        kept = (session, session.connector, asyncio.current_task(), asyncio.get_running_loop())
        references.extend(weakref.ref(o) for o in kept)
        await way(session, server.url())

    asyncio.run(main())
    gc.collect()
    assert [reference() for reference in references] == [None] * 4
    assert telemetry.value(semconv.POOL_LIVE) == 0
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert telemetry.value(semconv.OPEN_CONNECTIONS) == 0


def test_connector_needs_no_garbage_collector_for_our_sake(
    server: HTTP1Server, telemetry: Telemetry
) -> None:
    """Used, closed and dropped it is freed by its reference count, as without us."""

    async def main() -> weakref.ref[Any]:
        session = aiohttp.ClientSession()
        for _ in range(2):
            await get(session, server.url())
        reference = weakref.ref(session.connector)
        await session.close()
        return reference

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(main())() is None
    finally:
        gc.enable()


def test_context_is_not_kept(server: HTTP1Server, telemetry: Telemetry) -> None:
    """Neither by an open lease nor by records that wait to be collected."""
    server.reply("/streamed", Reply(end_after=server.gate()))
    references: list[weakref.ref[Any]] = []

    class Big:
        """What an application keeps in its context: a conversation, a document."""

    def gone() -> bool:
        gc.collect()
        return references[0]() is None

    async def ask(session: aiohttp.ClientSession) -> aiohttp.ClientResponse:
        big = Big()
        references.append(weakref.ref(big))
        context.attach(context.set_value("conversation", big))
        with telemetry.tracer_provider.get_tracer("test").start_as_current_span("caller"):
            await get(session, server.url())
            return await session.get(server.url("/streamed"))

    async def main() -> None:
        without_timers = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=without_timers) as session:
            # asyncio keeps the context in which a connection is made.
            await get(session, server.url())
            response = await asyncio.create_task(ask(session))
            await until(gone)
            assert telemetry.value(semconv.ACTIVE_REQUESTS) == 1
            response.close()

    asyncio.run(main())


def test_thousand_connectors_leave_nothing(server: HTTP1Server, telemetry: Telemetry) -> None:
    """A client per call: what is kept of them does not grow with their number."""

    async def make(number: int) -> None:
        for _ in range(number):
            async with aiohttp.ClientSession() as session:
                await get(session, server.url())

    def ours() -> int:
        telemetry.collect()
        gc.collect()
        return sum(
            str(type(o).__module__).startswith("opentelemetry.instrumentation.gluellm.pool")
            for o in gc.get_objects()
        )

    asyncio.run(make(20))
    before = ours()
    asyncio.run(make(200))
    assert ours() <= before + 5


# On and off


def test_patches_are_the_identical_objects_afterwards(instrument: Instrument) -> None:
    """Nothing of ours stays in the library's methods."""
    owners: list[Any] = [
        aiohttp.BaseConnector,
        aiohttp.TCPConnector,
        aiohttp.UnixConnector,
        aiohttp.StreamReader,
        aiohttp.client_proto.ResponseHandler,
        aiohttp.ClientSession,
        aiohttp.ClientRequest,
        aiohttp.ClientResponse,
    ]

    def methods() -> dict[tuple[Any, str], Any]:
        return {
            (o, key): value for o in owners for key, value in vars(o).items() if callable(value)
        }

    before = methods()
    instrument()
    during = methods()
    assert sum(during[key] is not value for key, value in before.items()) >= 10
    GlueLLMInstrumentor().uninstrument()
    after = methods()
    assert after.keys() == before.keys()
    assert [key for key, value in before.items() if after[key] is not value] == []


def test_data_continue_on_the_same_provider(server: HTTP1Server, instrument: Instrument) -> None:
    """Off and on again, with one session: each request counts once, and none while it is off."""
    telemetry = instrument()

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            for number in (1, 2, 3):
                await get(session, server.url())
                assert telemetry.value(semconv.REQUESTS) == number
                assert telemetry.value(semconv.POOL_LIVE) == 1
                assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle") == 1
                GlueLLMInstrumentor().uninstrument()
                await get(session, server.url())
                instrument()

    asyncio.run(main())
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0


# Failures of ours


@pytest.mark.parametrize("observer", [DurationObserver, SpanObserver])
def test_raising_observer_leaves_requests_untouched(
    server: HTTP1Server, instrument: Instrument, monkeypatch: pytest.MonkeyPatch, observer: Any
) -> None:
    """It fails at every event."""
    for event in EVENTS:
        if event in vars(observer):
            monkeypatch.setattr(observer, event, fail)
    telemetry = instrument(span_min_duration=0)
    gate = server.gate()
    held = server.reply("/held", Reply(end_after=gate))

    async def main() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
            await get(session, server.url())
            holder = await session.get(held)
            with pytest.raises(aiohttp.ConnectionTimeoutError):
                await session.get(server.url(), timeout=aiohttp.ClientTimeout(connect=0.02))
            waiter = asyncio.ensure_future(get(session, server.url()))
            await until(lambda: telemetry.current("queued") == 1)
            gate.open()
            assert await holder.read() == b"ok"
            await waiter
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get("http://127.0.0.1:9")

    asyncio.run(main())
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) > 0


# Secrets


def test_nothing_of_a_request_is_told(
    server: HTTP1Server,
    instrument: Instrument,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of good ones and of failed ones, inside any-llm calls and outside, with all settings on."""
    monkeypatch.setattr(DurationObserver, "connection_closed", fail)
    caplog.set_level(logging.DEBUG)
    telemetry = instrument(
        metrics="full", span_min_duration=0, model_attributes=True, time_in_queue=True
    )
    path = f"/v1/{SECRET}"
    url = server.url(path).replace("//", f"//user:{SECRET}@")
    headers = {"X-Key": SECRET, "Cookie": f"session={SECRET}", f"X-{SECRET}": SECRET}
    timeout = aiohttp.ClientTimeout(connect=0.02, sock_read=0.1)
    replies = (
        Reply(headers=(("set-cookie", f"a={SECRET}"), (f"x-{SECRET}", SECRET))),
        Reply(status=401, chunks=((0.0, SECRET.encode()),)),
        Reply(status=302, headers=(("location", f"http://127.0.0.1:9/{SECRET}"),)),
        Reply(head_after=server.gate()),
        Reply(failure=Failure.RESET_BEFORE_HEAD),
        Reply(failure=Failure.EOF_IN_BODY),
    )

    async def attempt(session: aiohttp.ClientSession, target: str) -> None:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            settings: Any = {"params": {"api_key": SECRET}, "json": {"prompt": SECRET}}
            async with session.post(target, headers=headers, **settings) as response:
                await response.read()

    async def main() -> None:
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            for reply in replies:
                server.reply(path, reply)
                for call in (None, Call("openai", "gpt-test", "chat")):
                    called = current_call.set(call)
                    await attempt(session, url)
                    current_call.reset(called)
            server.reply(path, Reply(end_after=server.gate()))
            holder = await session.get(url, headers=headers)
            await attempt(session, url)
            holder.close()
            await attempt(session, f"http://user:{SECRET}@127.0.0.1:9/{SECRET}#{SECRET}")
            await attempt(session, f"https://127.0.0.1:{server.port}/{SECRET}")
            await attempt(session, f"http://{SECRET}.invalid/")

    token = context.attach(baggage.set_baggage("user", SECRET))
    with telemetry.tracer_provider.get_tracer("test").start_as_current_span("caller"):
        asyncio.run(main())
    context.detach(token)
    told = everything(telemetry, caplog).replace(f"{SECRET}.invalid", "")
    assert SECRET not in told
    assert "user:" not in told
    assert "/v1" not in told
    # And it was no silence.
    for kind in ("pool_timeout", "read_timeout", "name_resolution_error"):
        assert f'"{kind}"' in told
    assert "HTTP wait_for_connection 127.0.0.1" in told
    keys = {
        key
        for points in telemetry.collect().values()
        for point in points
        for key in point.attributes
    }
    assert keys <= KNOWN, keys - KNOWN


# A snapshot at any moment


def test_snapshot_in_a_signal_handler(server: HTTP1Server, telemetry: Telemetry) -> None:
    """It interrupts the loop anywhere, also in the middle of the connector's own bookkeeping."""
    url = server.reply("/", Reply(head_after=0.001, end_after=0.001))
    failures: list[BaseException] = []
    taken = 0

    def handle(*_: Any) -> None:
        nonlocal taken
        try:
            for pool in snapshot().pools:
                assert pool.active + pool.idle + pool.connecting == len(pool.connections)
                assert pool.active + pool.connecting <= 3
        except BaseException as error:
            failures.append(error)
        taken += 1
        signal.setitimer(signal.ITIMER_REAL, 0.003)

    async def main() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=3)) as session:
            while taken < 100:
                await asyncio.gather(*(get(session, url) for _ in range(8)))

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.003)
    try:
        asyncio.run(main())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert failures == []
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0

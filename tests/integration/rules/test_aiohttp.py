"""The rules that were learned with httpcore, for aiohttp."""

from __future__ import annotations

import asyncio
import gc
import signal
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from opentelemetry import context
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.metrics import DurationObserver
from opentelemetry.instrumentation.gluellm.telemetry.spans import SpanObserver
from support.http1 import HTTP1Server
from support.script import Reply
from support.telemetry import Telemetry
from support.waiting import until

from .conftest import Instrument
from .test_failures import EVENTS, fail

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


async def get(session: aiohttp.ClientSession, url: str) -> None:
    """A whole request."""
    async with session.get(url) as response:
        await response.read()


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

"""Sums over many threads that send at the same time.

They are exact with the interpreter lock, which changes hands as often as possible here. Without it
they may not be: see docs/maintainers/compatibility.md. On a free-threaded build of Python,
``PYTHON_GIL=0 python -m pytest tests/integration/process/test_free_threaded.py`` runs without the
lock, even if an extension module would enable it.
"""

import queue
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, diagnose, snapshot
from opentelemetry.instrumentation.gluellm.pool.lease import TrackedConnection
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.installation import installed, instrument
from support.waiting import wait_until_collected

from .requesting import LIBRARIES, Requesting

THREADS = 8
REQUESTS = 60
"""Number of requests of each thread."""


@pytest.fixture(autouse=True)
def busy() -> Iterator[None]:
    """Switch threads every microsecond, if there is an interpreter lock."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(work: Callable[[int], None], *besides: Callable[[], None]) -> None:
    """Run ``work`` in all threads, and repeat each of ``besides`` in its own thread meanwhile."""
    errors: list[BaseException] = []
    over = threading.Event()
    together = threading.Barrier(THREADS + len(besides))

    def working(number: int) -> None:
        try:
            together.wait(30)
            work(number)
        except BaseException as error:
            errors.append(error)

    def repeating(deed: Callable[[], None]) -> None:
        try:
            together.wait(30)
            while not over.wait(0.002):
                deed()
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=working, args=(n,)) for n in range(THREADS)]
    others = [threading.Thread(target=repeating, args=(deed,)) for deed in besides]
    for thread in (*workers, *others):
        thread.start()
    for thread in workers:
        thread.join(120)
    over.set()
    for thread in others:
        thread.join(30)
    assert not errors
    assert not any(thread.is_alive() for thread in (*workers, *others))


@pytest.mark.parametrize("library", LIBRARIES)
def test_sums_over_threads_are_exact(library, server, telemetry):
    """Threads share pools while others collect and take snapshots."""
    limits = {"maxsize": 4, "block": True} if library == "urllib3" else {}
    pools = [Requesting.of(library, server.url(), **limits) for _ in range(2)]

    def work(number: int) -> None:
        for step in range(REQUESTS):
            pools[(number + step) % 2].send()

    at_once(work, lambda: [*telemetry.collect()].clear(), lambda: [*diagnose(snapshot())].clear())
    made = THREADS * REQUESTS
    assert telemetry.value(semconv.REQUESTS) == made
    assert telemetry.count(semconv.ACQUIRE_DURATION) == made
    assert telemetry.count(semconv.LEASE_DURATION) == made
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0
    assert telemetry.value(semconv.POOL_LIVE) == 2
    (totals,) = snapshot().totals
    (origin,) = totals.origins
    assert origin.requests_entered == made
    assert totals.connections_opened == server.timeline.count("accept")
    for ledger in installed().registry.ledgers.pools.values():
        assert ledger.active.value == ledger.queued.value == 0
    # The library may drop a connection without closing it. It is collected with its pool, to which
    # the watch may hold a reference for a moment.
    while pools:
        pools.pop().close()
    wait_until_collected(
        lambda: telemetry.value(semconv.CONNECTION_CLOSED) == totals.connections_opened
    )


def test_released_connection_is_not_reported_as_closed(server, telemetry):
    """Collections of metrics run between its release and its return to the queue."""

    class WaitedFor(queue.LifoQueue[Any]):
        def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
            if item is not None:
                for _ in range(3):
                    telemetry.collect()
            super().put(item, block, timeout)

    class Pool(urllib3.HTTPConnectionPool):
        QueueCls = WaitedFor

    pool = Pool("127.0.0.1", server.port, retries=False)
    for _ in range(2):
        pool.request("GET", "/")
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {}
    pool.close()
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"pool_closed": 1}
    assert telemetry.value(semconv.CONNECTION_OPENED) == 1


def test_connection_that_is_lost_as_it_changes_hands_is_closed_by_the_server(server, telemetry):
    """A waiting thread takes it before the call that returns it is over."""

    class Passed(queue.LifoQueue[Any]):
        def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
            super().put(item, block, timeout)
            if item is not None and server.timeline.count("request") == 1:
                server.hang_up()
                server.timeline.wait_for("close")
                pool.request("GET", "/")

    class Pool(urllib3.HTTPConnectionPool):
        QueueCls = Passed

    pool = Pool("127.0.0.1", server.port, block=True, retries=False)
    pool.request("GET", "/")
    assert telemetry.by(semconv.CONNECTION_CLOSED, "reason") == {"server_disconnect": 1}
    pool.close()


@pytest.mark.parametrize("ends", ["closed by the server", "closed with the pool"])
def test_connection_that_is_being_closed_gets_no_second_record(
    ends, server, telemetry, monkeypatch
):
    """A collection runs between the record of the close and the close of the socket."""
    close = TrackedConnection.close

    def close_and_collect(record: TrackedConnection, reason: str) -> None:
        close(record, reason)
        telemetry.collect()

    pool = urllib3.HTTPConnectionPool("127.0.0.1", server.port, retries=False)
    pool.request("GET", "/")
    monkeypatch.setattr(TrackedConnection, "close", close_and_collect)
    if ends == "closed by the server":
        server.hang_up()
        server.timeline.wait_for("close")
        pool.request("GET", "/")
    pool.close()
    opened = server.timeline.count("accept")
    telemetry.check(CONNECTION_OPENED=opened, CONNECTION_CLOSED=opened, ACTIVE_REQUESTS=0)


@pytest.mark.parametrize("library", LIBRARIES)
def test_requests_succeed_while_instrument_and_uninstrument_repeat(library, server, providers):
    """The last uninstrument() removes all hooks."""
    pool = Requesting.of(library, server.url())

    def come_and_go() -> None:
        instrument(providers)
        providers.collect()
        snapshot()
        GlueLLMInstrumentor().uninstrument()

    def work(_number: int) -> None:
        for _ in range(REQUESTS):
            pool.send()

    at_once(work, come_and_go)
    instrument(providers)
    before = providers.value(semconv.REQUESTS)
    pool.send()
    assert providers.value(semconv.REQUESTS) == before + 1
    assert providers.value(semconv.ACTIVE_REQUESTS) == 0
    assert providers.value(semconv.INSTRUMENTATION_ERRORS) == 0
    GlueLLMInstrumentor().uninstrument()
    pool.close()

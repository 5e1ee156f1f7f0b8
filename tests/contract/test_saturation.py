"""More requests than connections or streams: the metrics always count the waiting ones.

The metrics are read at every turn of the event loop, and by a thread that does nothing else.
"""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
import pytest

from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import Runner
from support.http1 import HTTP1Server
from support.http2 import HTTP2Server
from support.outcomes import assert_settled
from support.rows import new, reused
from support.script import Reply
from support.telemetry import KEYS, Telemetry
from support.waiting import wait_until

WAITERS = 6
STREAMS = 5
WORKERS = 15
HOLDING = ("awaiting_response", "reading", "unread")


@dataclass(slots=True)
class Readings:
    """The number of requests in each phase, at many moments."""

    telemetry: Telemetry
    taken: list[Counter[str]] = field(default_factory=list)

    def take(self) -> None:
        """Read the metrics, then the snapshot."""
        points = self.telemetry.collect()
        phases: Counter[str] = Counter()
        for point in points.get(semconv.REQUEST_CURRENT.name, ()):
            phases[point.attributes[KEYS["phase"]]] += point.value
        self.taken.append(phases)
        pools = snapshot().pools
        self.taken.append(Counter(request.phase for pool in pools for request in pool.requests))

    @property
    def most_held(self) -> int:
        """Most requests in phases that hold a connection or a stream."""
        return max(sum(phases[phase] for phase in HOLDING) for phases in self.taken)

    def fewest(self, *names: str) -> int:
        """Fewest requests in these phases together."""
        return min(sum(phases[name] for name in names) for phases in self.taken)


@contextlib.contextmanager
def read_all_the_time(
    runner: Runner, telemetry: Telemetry, *, at_turns: bool = True
) -> Iterator[Readings]:
    """Read in a thread of its own, and at every turn of the runner's loop if there is one."""
    readings, over = Readings(telemetry), threading.Event()
    readings.take()

    def begun() -> bool:
        return len(readings.taken) > 2

    async def at_every_turn() -> None:
        while not over.is_set():
            readings.take()
            await anyio.lowlevel.checkpoint()

    def beside() -> None:
        while not over.wait(0.001):
            readings.take()

    thread = threading.Thread(target=beside)
    thread.start()
    turns = None
    if runner.portal is not None and at_turns:
        turns = runner.portal.start_task_soon(at_every_turn)
    try:
        wait_until(begun)
        yield readings
    finally:
        over.set()
        thread.join()
        if turns is not None:
            turns.result(60)


@pytest.mark.modes("sync", "asyncio", "trio")
@pytest.mark.parametrize("way", ["direct", "forward proxy"])
def test_waiters_are_queued_until_a_connection_takes_them(runner, library, server, telemetry, way):
    """httpcore 1.0 assigns a released connection to all waiting requests; one gets it.

    With two connections, at most two requests are in phases that hold one.
    """
    settings = {"proxy": library.core.Proxy(server.origin)} if way == "forward proxy" else {}
    pool = runner.pool(library, max_connections=2, **settings)
    gates = [server.gate() for _ in range(WAITERS + 2)]
    url = server.reply("/", *(Reply(end_after=gate) for gate in gates))
    holders = [pool.send(url) for _ in range(2)]
    for holder in holders:
        holder.head()
    waiters = [pool.send(url) for _ in range(WAITERS)]
    wait_until(lambda: telemetry.current("queued") == WAITERS)
    bodies = [exchange.begin_read() for exchange in holders + waiters]
    with read_all_the_time(runner, telemetry) as readings:
        for number, gate in enumerate(gates):
            gate.open()
            server.timeline.wait_for("body_end", count=number + 1)
            left = WAITERS - number - 1
            wait_until(lambda left=left: telemetry.current("queued") == max(left, 0))  # type: ignore[misc]
            if left == 1:
                # Every reading so far counted at least one waiting request as queued.
                assert readings.fewest("queued") >= 1
    for body in bodies:
        body.result(60)
    assert readings.most_held == 2
    assert_settled(telemetry, holders + waiters, *[new()] * 2, *[reused()] * WAITERS)
    telemetry.check(PEAK_QUEUED=WAITERS, PEAK_ACTIVE=2)
    requeues = telemetry.value(semconv.REQUEUES)
    assert requeues > 0 if library.assigns_twice else requeues == 0


@pytest.mark.modes("sync", "asyncio", "trio")
def test_requests_that_enter_together_are_queued_until_taken(
    pool_of_one, runner, server, telemetry
):
    """httpcore 1.0 assigns the connection to all at once, and the first may be overtaken."""
    gate = server.gate()
    url = server.reply("/", Reply(), Reply(head_after=gate), Reply(head_after=0.002))
    exchanges = [pool_of_one.get(url)]
    with read_all_the_time(runner, telemetry) as readings:
        for _ in range(3):
            batch = [pool_of_one.send(url) for _ in range(WAITERS)]
            bodies = [exchange.begin_read() for exchange in batch]
            wait_until(lambda: readings.most_held)
            gate.open()
            for body in bodies:
                body.result(60)
            exchanges += batch
    assert readings.most_held == 1
    assert_settled(telemetry, exchanges, new(), *[reused()] * (3 * WAITERS))


@pytest.mark.modes("sync", "asyncio", "trio")
def test_requests_queue_if_a_connection_offers_http2_and_gets_http1(
    runner, library, listen, certificates, telemetry
):
    """All requests are assigned to the connection that is being established; one gets it."""
    server = listen(HTTP1Server, tls=certificates.server())
    server.setup_after = secured = server.gate()
    pool = runner.pool(library, max_connections=1, http2=True, ssl_context=certificates.client())
    gates = [server.gate() for _ in range(WAITERS)]
    url = server.reply("/", *(Reply(head_after=gate) for gate in gates))
    exchanges = [pool.send(url) for _ in range(WAITERS)]
    wait_until(lambda: telemetry.current("connecting") == WAITERS)
    bodies = [exchange.begin_read() for exchange in exchanges]
    with read_all_the_time(runner, telemetry) as readings:
        secured.open()
        wait_until(lambda: telemetry.current("queued") == WAITERS - 1)
        assert telemetry.current("awaiting_response") == 1
        wait_until(lambda: readings.most_held == 1)
        for gate in gates:
            gate.open()
        for body in bodies:
            body.result(60)
    assert readings.most_held == 1
    assert_settled(telemetry, exchanges, new(), *[reused()] * (WAITERS - 1))


@pytest.mark.modes("sync", "asyncio", "trio")
def test_requests_beyond_the_streams_are_stream_queued(runner, library, listen, telemetry):
    """A waiting request has no stream."""
    # httpcore does not protect h2 from threads that begin at once.
    streams = 1 if runner.mode == "sync" else STREAMS
    server = listen(HTTP2Server, max_streams=streams)
    pool = runner.pool(library, max_connections=1, http1=False, http2=True)
    pool.get(server.url("/first"))  # from then on the client knows how many streams there are
    gate = server.gate()
    held = server.reply("/held", Reply(head_after=gate))
    url = server.reply("/", Reply(head_after=0.002, end_after=0.002))
    holders = [pool.send(held) for _ in range(streams)]
    wait_until(lambda: telemetry.current("awaiting_response") == streams)
    threads = ThreadPoolExecutor(WORKERS)
    workers = [threads.submit(lambda: [pool.get(url) for _ in range(3)]) for _ in range(WORKERS)]
    wait_until(lambda: telemetry.current("stream_queued") == WORKERS)
    with read_all_the_time(runner, telemetry, at_turns=False) as readings:
        bodies = [holder.begin_read() for holder in holders]
        gate.open()
        for future in bodies + workers:
            future.result(60)
    assert readings.most_held == streams
    assert telemetry.value(semconv.STREAM_MAX) == streams
    assert telemetry.value(semconv.REQUESTS) == 1 + streams + 3 * WORKERS

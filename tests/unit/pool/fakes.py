"""A clock, a pool and an observer for tests without any HTTP."""

from collections.abc import Callable, Container
from typing import Any

from opentelemetry.instrumentation.gluellm.pool.call import Call
from opentelemetry.instrumentation.gluellm.pool.call_site import CallSite
from opentelemetry.instrumentation.gluellm.pool.counts import ACTIVE_1, IDLE_1, Occupancy, PoolSums
from opentelemetry.instrumentation.gluellm.pool.lease import (
    ConnectionView,
    Lease,
    ReadPool,
    TrackedConnection,
)
from opentelemetry.instrumentation.gluellm.pool.ledger import Owner
from opentelemetry.instrumentation.gluellm.pool.observer import PoolObserver
from opentelemetry.instrumentation.gluellm.pool.registry import PoolRegistry
from opentelemetry.instrumentation.gluellm.pool.tracker import PoolTracker
from opentelemetry.instrumentation.gluellm.vocabulary import AWAITING_RESPONSE

SECOND = 10**9


class Clock:
    """Monotonic nanoseconds that only a test advances."""

    def __init__(self, seconds: float = 1000.0) -> None:
        self.now = round(seconds * SECOND)

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += round(seconds * SECOND)


class FakePool:
    """A pool as trackers need it: it can be referred to weakly, and be read."""

    def __init__(self, maximum: int | None = 10, idle_maximum: int | None = 5) -> None:
        self.maximum = maximum
        self.idle_maximum = idle_maximum
        self.active: dict[Any, int] = {}
        self.idle: dict[Any, int] = {}
        self.views: list[ConnectionView] = []
        self.sockets: dict[TrackedConnection, Any] = {}


class Unreadable(FakePool):
    """A pool whose list of connections can't be read."""

    @property
    def views(self) -> Any:
        raise RuntimeError

    @views.setter
    def views(self, _: Any) -> None:
        pass


class Reader:
    """Reads a fake pool, as an adapter reads a library's."""

    reads_ahead = False

    def count(self, pool: FakePool, tracker: PoolTracker, counts: PoolSums) -> Occupancy:
        """Add a fake pool's connections to a count."""
        for call_site, connections in ((ACTIVE_1, pool.active), (IDLE_1, pool.idle)):
            for origin, number in connections.items():
                counts.origins[origin][call_site] += number
        return sum(pool.active.values()), pool.maximum, pool.idle_maximum

    def view(self, pool: FakePool, tracker: PoolTracker) -> ReadPool:
        """The connections that a test has put into ``pool.views``."""
        return ReadPool(pool.maximum, pool.idle_maximum, 5.0, False, tuple(pool.views))

    def sockets(
        self, pool: FakePool, wanted: Container[TrackedConnection]
    ) -> list[tuple[TrackedConnection, Any]]:
        """The sockets that a test has put into ``pool.sockets``."""
        return [entry for entry in pool.sockets.items() if entry[0] in wanted]


read = Reader()


class Recorder(PoolObserver):
    """Records events by their name."""

    def __init__(self) -> None:
        self.events: list[tuple[str, tuple[Any, ...]]] = []

    @property
    def names(self) -> list[str]:
        """The events so far, in order."""
        return [name for name, _ in self.events]

    def args(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of each event of this name."""
        return [arguments for event, arguments in self.events if event == name]


def _recording(event: str) -> Callable[..., None]:
    return lambda self, *arguments: self.events.append((event, arguments))


for _event in [name for name in vars(PoolObserver) if not name.startswith("_")]:
    setattr(Recorder, _event, _recording(_event))


class Scene:
    """A registry with one tracked fake pool on a fake clock, and the steps of a request."""

    def __init__(
        self, *observers: PoolObserver, kind: type[PoolTracker] = PoolTracker, **settings: Any
    ) -> None:
        self.kind = kind
        self.clock = Clock()
        self.recorder = Recorder()
        self.registry = PoolRegistry((self.recorder, *observers), clock=self.clock, **settings)
        self.pool: FakePool | None = FakePool()
        self.tracker = self.track(self.pool)
        self.ledger = self.tracker.ledger
        self.origin = self.tracker.origin(b"api.test", None, b"https")

    def track(
        self,
        pool: FakePool,
        name: str = "openai",
        provider: str | None = "openai",
        built_at: CallSite | None = None,
    ) -> Any:
        """Track one more pool."""
        owner = Owner(name, provider)
        made = self.registry.track(pool, read, owner=owner, library="httpx2", kind=self.kind)
        made.built_at = built_at
        return made

    def enter(self, call: Call | None = None) -> Lease:
        """Begin a request."""
        return self.tracker.begin(b"api.test", None, b"https", call)

    def queue(self, timeout: float | None = None, call: Call | None = None) -> Lease:
        """Begin a request that waits for a connection."""
        lease = self.enter(call)
        self.tracker.waiting(lease, timeout)
        return lease

    def connection(self, *, established: bool = False, protocol: str = "1.1") -> TrackedConnection:
        """A connection of the pool; an established one is idle and has served a request before."""
        made = TrackedConnection(self.tracker, self.origin, self.clock())
        self.tracker.connections[made] = None
        if established:
            self.tracker.established(made, protocol)
            made.served = 1
        return made

    def acquire(
        self, connection: TrackedConnection | None = None, call: Call | None = None
    ) -> Lease:
        """Begin a request that gets a connection at once, by default a new idle one."""
        lease = self.enter(call)
        self.tracker.assigned(lease, connection or self.connection(established=True))
        return lease

    def refuse_meanwhile(self) -> None:
        """Begin a request that another thread requeues as soon as its ``acquired_at`` is read."""

        class Refused(Lease):
            def __getattribute__(self, name: str) -> object:
                found = super().__getattribute__(name)
                if name == "acquired_at" and found:
                    self.acquired_at = 0
                return found

        lease = Refused(self.tracker, self.origin, None, self.clock())
        lease.connection = self.connection(established=True)
        lease.acquired_at = self.clock()
        lease.phase = AWAITING_RESPONSE
        self.tracker.leases[lease] = None

    def let_in(self, other: Callable[[], object], tracker: Any = None) -> None:
        """Let another thread run where the tracker next reads the clock."""
        tracker = tracker or self.tracker
        clock = tracker.clock

        def run_and_read() -> int:
            tracker.clock = clock
            other()
            found: int = clock()
            return found

        tracker.clock = run_and_read

    def serve(self, *leases: Lease) -> None:
        """Answer and end requests, one after the other."""
        for lease in leases:
            self.tracker.answered(lease, 200)
            self.tracker.released(lease)

    def settled(self) -> None:
        """Assert that no request runs, is queued or holds a connection."""
        assert self.current() == [0] * 6
        assert (self.ledger.queued.value, self.ledger.active.value) == (0, 0)
        assert not self.tracker.leases

    def drain(self) -> list[Lease]:
        """Take the leases from the outbox and count those that have ended, as a drain does."""
        taken = []
        items = self.registry.outbox.items
        while items:
            lease = items.popleft()
            if not isinstance(lease, Lease):
                continue
            taken.append(lease)
            if lease.ended_at:
                lease.account()
        return taken

    def requests(self) -> dict[tuple[int, str | None, bool], int]:
        """Drain the outbox; return ended requests by status, error and resend."""
        self.drain()
        return {way: number for way, number in self.origin.requests.items() if number}

    def current(self, origin: Any = None) -> list[int]:
        """Requests in each phase now."""
        _, sums = self.registry.state(self.clock())
        running = sums.requests.get(origin or self.origin)
        return running.count if running is not None else [0] * 6

    def times(self) -> list[int]:
        """Nanoseconds in each phase, of finished and running requests together."""
        _, sums = self.registry.state(self.clock())
        running = sums.requests[self.origin]
        return [
            spent + count * self.clock() - since
            for spent, count, since in zip(
                self.origin.spent, running.count, running.since, strict=True
            )
        ]

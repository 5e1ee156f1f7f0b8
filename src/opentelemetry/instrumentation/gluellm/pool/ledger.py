"""Time and counts per pool name and origin, as plain numbers.

Whoever adds here may be a finalizer, so nothing here locks, logs or calls out. Readers come at
collection only. Every update is a single statement without a call in it, which CPython's
interpreter lock makes atomic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..concurrency import snapshot_of
from .channel import CHANNEL_STATES, states_of
from .lease import AWAITING_RESPONSE, PHASES, UNREAD

if TYPE_CHECKING:
    from .call_site import CallSite
    from .channel import TrackedChannel
    from .lease import Lease

OTHER = "_OTHER"
Outcome = tuple[int | str, str | None, bool]
"""How a request left: status (0: none), error type, resend."""
Counters = dict[tuple[str, str | None], int]
"""Counts of a pool name by what is counted and by its own label; times in nanoseconds."""
GONE_REPORTED = 600 * 10**9
"""Nanoseconds for which series are reported after they have ended: over OTLP nothing else ends a
series."""
_REFUSED = 400
"""The lowest status of HTTP by which a provider refuses a request."""
LIBRARIES_OF_CHANNELS = frozenset({"grpc"})
"""Libraries whose pools are channels, which tell nothing of their connections."""

ANOMALIES = ("waiter_with_idle_connection", "orphaned_connection", "pool_timeout_overrun")
"""States that a pool should never be in, by their names in the telemetry contract."""
_MOST_CALL_SITES = 16
"""Call sites that build pools, per origin. Pools of further ones count without their call site."""
_SLICES = 5
# Ways to fail that alerts ask for: their series are there with 0 from the pool's first request on,
# since increase() can't see a series that is born at 1.
_CONNECT_ERRORS = (
    "connect_timeout",
    "name_resolution_error",
    "connection_error",
    "secure_connection_error",
)
_BORN_AT_ZERO: tuple[Outcome, ...] = tuple((0, error, False) for error in _CONNECT_ERRORS)
# A call has a status whatever became of it.
_BORN_AT_ZERO_ON_CHANNELS: tuple[Outcome, ...] = tuple(
    ("DEADLINE_EXCEEDED" if error == "connect_timeout" else "UNAVAILABLE", error, False)
    for error in _CONNECT_ERRORS
)


def served(status: int | str | None, error: str | None) -> bool:
    """Whether the provider gave such a request what it asked for."""
    if error is not None:
        return False
    return status == "OK" if isinstance(status, str) else (status or 0) < _REFUSED


class Peak:
    """The highest value within a window, kept in slices.

    Reading changes nothing, so several readers with different intervals see the same. Slices are
    turned when the value rises and when it is read. A fall in between leaves the slice before with
    what it had, so one slice more than the window needs is kept, besides the one being filled.
    """

    __slots__ = ("_slices", "_width", "end", "high", "value")

    def __init__(self, window: int, now: int) -> None:
        self._width = max(window // _SLICES, 1)
        self._slices = [0] * (_SLICES + 1)
        self.end = now + self._width
        """When the slice that is being filled ends."""
        self.high = 0
        """The highest value in it."""
        self.value = 0

    def change(self, by: int, now: int) -> None:
        """Add to the value that is watched."""
        if now >= self.end:
            self.turn(now)
        self.value = value = self.value + by
        if value > self.high:
            self.high = value

    def raise_to(self, value: int, now: int) -> None:
        """Note a value that is there for this moment only."""
        if now >= self.end:
            self.turn(now)
        if value > self.high:
            self.high = value

    def highest(self, now: int) -> int:
        """The highest value within the window."""
        if now >= self.end:
            self.turn(now)
        return max(self.high, *self._slices)

    def turn(self, now: int) -> None:
        """Begin the slice that ``now`` lies in."""
        # Up to the first call whoever comes first takes the turn: another thread may be here at the
        # same time, and a signal handler that takes a snapshot in between.
        turns = (now - self.end) // self._width + 1
        if turns < 1:
            return
        self.end += turns * self._width
        high, self.high = self.high, self.value
        # The slice that ended had its high; where nothing changed since, the value held all along.
        held = [self.value] * min(turns - 1, _SLICES + 1)
        self._slices = [*held, high, *self._slices][: _SLICES + 1]


class Bound:
    """How many more distinct things may come, over all ledgers of a process."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, number: int) -> bool:
        """Make room for so many; False, and nothing taken, where there is too little left."""
        if self.left < number:
            return False
        self.left -= number
        return True


class BuiltAt:
    """A call site that builds pools, and how many of one origin's pools it built."""

    __slots__ = ("call_site", "pools")

    def __init__(self, call_site: CallSite) -> None:
        self.call_site = call_site
        self.pools = 0


class EndedTimes:
    """Nanoseconds that the requests of one outcome took, and how many of them were sent."""

    __slots__ = ("awaiting_response", "held", "reading", "sent", "total")

    def __init__(self) -> None:
        self.sent = 0
        """Requests that acquired a connection."""
        self.total = 0
        self.held = 0
        self.awaiting_response = 0
        self.reading = 0
        """At most: the pauses between reads are included, the last one excepted."""

    def add(self, lease: Lease) -> None:
        """Add an ended request."""
        ended_at = lease.ended_at
        acquired_at = lease.acquired_at
        answered_at = lease.answered_at
        awaiting = reading = 0
        if answered_at:
            awaiting = max(answered_at - lease.request_sent_at, 0)
            reading = (lease.phase_since if lease.phase == UNREAD else ended_at) - answered_at
        elif lease.phase == AWAITING_RESPONSE:
            awaiting = ended_at - lease.phase_since
        self.total += ended_at - lease.entered_at
        if acquired_at:
            self.sent += 1
            self.held += ended_at - acquired_at
            self.awaiting_response += awaiting
            self.reading += reading


class OriginLedger:
    """What one pool name did towards one origin, for one provider."""

    __slots__ = (
        "address",
        "attributes",
        "built_at",
        "entered",
        "longest_silence",
        "on_new_connection",
        "other_times",
        "pool",
        "pools",
        "pools_gone",
        "port",
        "protocols",
        "provider",
        "requests",
        "resent",
        "reuse_failures",
        "spent",
        "timeouts",
    )

    def __init__(
        self, pool: PoolLedger, address: str, port: int | None, provider: str | None = None
    ) -> None:
        self.pool = pool
        self.address = address
        self.port = port
        self.provider = provider
        """any-llm's key of the provider of its requests; None when unknown."""
        self.spent = [0] * len(PHASES)
        """Nanoseconds in each phase that leases have left. Whole numbers: sums don't drift."""
        self.requests: dict[Outcome, int] = {}
        """Requests that left the pool, by how they did."""
        born = _BORN_AT_ZERO if pool.channels is None else _BORN_AT_ZERO_ON_CHANNELS
        if pool.outcomes.take(len(born)):
            self.requests = dict.fromkeys(born, 0)
        self.other_times: dict[Outcome, EndedTimes] = {}
        """Times of the requests that were not first attempts which the provider served."""
        self.on_new_connection = 0
        """Requests that waited while their connection was established."""
        self.resent = 0
        """Requests that were not the first of their any-llm call."""
        self.timeouts = {"pool": 0, "connect": 0, "read": 0, "write": 0}
        self.reuse_failures = 0
        self.longest_silence = 0
        """Nanoseconds: the longest that a request had waited when its reused connection failed."""
        self.entered = 0
        """Requests that entered a pool for it, those under way included."""
        self.pools = 0
        """Pools that ever asked for it. A pool that two providers share is counted in one of its
        two ledgers for the origin."""
        self.pools_gone = 0
        """Those of these pools that were discarded, each counted in one ledger as well."""
        self.built_at: dict[tuple[str, int], BuiltAt] = {}
        """Call sites that built these pools, as far as they are known."""
        self.protocols: set[str] = set()
        """HTTP versions of the connections so far."""
        self.attributes: Any = None
        """The telemetry's attribute sets for this origin, built once."""

    @property
    def reported(self) -> tuple[str, int | None]:
        """Address and port, which the ledgers of several providers can share."""
        return self.address, self.port

    def pool_entered(self, call_site: CallSite | None) -> None:
        """Count a pool that asks for this origin for the first time, and the line that built it."""
        self.pools += 1
        if call_site is None:
            return
        built = self.built_at.get(call_site.key)
        if built is None:
            if len(self.built_at) >= _MOST_CALL_SITES:
                return
            built = self.built_at.setdefault(call_site.key, BuiltAt(call_site))
        built.pools += 1

    def times_of(self, outcome: Outcome) -> EndedTimes | None:
        """Where the times of such requests are added; None for first attempts that were served."""
        status, error, resend = outcome
        if not resend and served(status, error):
            return None
        return self.other_times.setdefault(outcome, EndedTimes())

    def outcome(self, status: int | str, error: str | None, resend: bool) -> Outcome:
        """What a request that left the pool counts as: a key of ``requests``."""
        key: Outcome = (status, error, resend)
        if key not in self.requests:
            if not self.pool.outcomes.take(1):
                key = (0, OTHER, False)
            self.requests.setdefault(key, 0)
        return key


class PoolSeries:
    """The pool-level series of one pool name under one provider.

    A name has one of these while all its requests have the same provider. When a second provider
    comes, a new one without a provider begins, and the old one ends.
    """

    __slots__ = ("attributes", "base", "ended_at", "provider", "reported")

    def __init__(self, provider: str | None, base: Counters) -> None:
        self.provider = provider
        self.base = base
        """The name's counters when it began: it reports what was added since."""
        self.ended_at = 0
        """0 while it is the current one."""
        self.attributes: Any = None
        """The telemetry's attribute sets, built once."""
        self.reported: Counters = {}
        """Last reported value of each counter. A counter never falls, even when another thread
        changes it during the collection."""


class PoolLedger:
    """What all pools of one name and library did."""

    __slots__ = (
        "acquire_timeout",
        "active",
        "anomalies",
        "channel_spent",
        "channels",
        "closed",
        "discarded",
        "empty_since",
        "former",
        "leaks",
        "library",
        "live",
        "name",
        "opened",
        "origins",
        "outcomes",
        "pools_opened",
        "pools_synchronous",
        "queued",
        "requeues",
        "series",
    )

    def __init__(
        self,
        name: str,
        provider: str | None,
        library: str,
        *,
        window: int,
        now: int,
        outcomes: Bound,
    ) -> None:
        self.name = name
        self.outcomes = outcomes
        self.series = PoolSeries(provider, {})
        self.former: PoolSeries | None = None
        """The series that ended when a second provider came. That happens once at most."""
        self.library = library
        self.origins: dict[tuple[str, int | None, str | None], OriginLedger] = {}
        self.channels: dict[TrackedChannel, None] | None = (
            {} if library in LIBRARIES_OF_CHANNELS else None
        )
        """Its channels, the closed ones included until they are gone; None for other pools."""
        self.channel_spent = [0] * len(CHANNEL_STATES)
        """Nanoseconds in each state that its channels have left."""
        self.watch(window, now)
        self.opened = 0
        self.closed: dict[str, int] = {}
        self.requeues = 0
        self.acquire_timeout: float | None = None
        """Seconds, as last asked for."""
        self.leaks = 0
        """Leases that were ever suspected to leak their connection."""
        self.anomalies = dict.fromkeys(ANOMALIES, 0)
        self.live = 0
        self.pools_opened = 0
        self.pools_synchronous = 0
        """Those of its pools that synchronous code uses, as far as that is known."""
        self.discarded = {"closed": 0, "garbage_collected": 0}
        self.empty_since: int | None = None
        """When the last pool of this name was gone; None while there is one."""

    @property
    def provider(self) -> str | None:
        """any-llm's key of the provider of all its requests; None when unknown or several."""
        return self.series.provider

    def asked_for(self, provider: str | None, now: int) -> None:
        """Note the provider of a request: a second one ends the series of the first."""
        before = self.series
        if before.provider is None or before.provider == provider:
            return
        series = PoolSeries(None, self.counters(now))
        # atomic
        if self.series is before:
            before.ended_at = now
            self.former = before
            self.series = series

    def counters(self, now: int) -> Counters:
        """Everything that is counted for the name, and not for an origin of it."""
        found: Counters = {
            ("pools_opened", None): self.pools_opened,
            ("leaks", None): self.leaks,
        }
        labelled = {"discarded": self.discarded}
        if self.channels is None:
            found["opened", None] = self.opened
            found["requeues", None] = self.requeues
            labelled |= {"closed": self.closed, "anomalies": self.anomalies}
        else:
            _, spent = states_of(self.channels, self.channel_spent, now)
            labelled["channel_time"] = dict(zip(CHANNEL_STATES, spent, strict=True))
        for what, counts in labelled.items():
            for label, count in snapshot_of(counts.items):
                found[what, label] = count
        return found

    @property
    def synchronous(self) -> bool:
        """Whether synchronous code uses most of its pools, as far as that is known."""
        return 2 * self.pools_synchronous > self.pools_opened

    def watch(self, window: int, now: int) -> None:
        """Begin the peaks anew, over a window of so many nanoseconds."""
        self.active = Peak(window, now)
        """Connections active or being established."""
        self.queued = Peak(window, now)
        """Requests that stand in a queue."""

    def abandon(self, now: int) -> None:
        """Follow none of its pools any more; what was counted stays."""
        self.live = 0
        self.active.value = self.queued.value = 0
        if self.channels:
            for channel in snapshot_of(self.channels.keys):
                channel.end()
        if self.empty_since is None:
            self.empty_since = now

    def connection_closed(self, reason: str) -> None:
        """Count a closed connection."""
        if reason not in self.closed:
            self.closed.setdefault(reason, 0)
        self.closed[reason] += 1

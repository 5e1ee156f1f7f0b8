"""Times and counts per pool name and origin, as plain numbers.

The finalizer rule and the atomic rule (``lease.py``) apply to all code that adds here: each update
is a single statement without a call, or a block marked ``# atomic``. Collections and snapshots only
read.
"""

from __future__ import annotations

import contextlib
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from ..concurrency import snapshot_of
from ..failures import Failures
from ..vocabulary import ALL_STEPS, ANOMALIES, MOST_ANSWERED, MOST_FAILED, PHASES, served
from ..vocabulary import OTHER as OTHER
from .call import CallLedgers
from .call_site import CallSite, CallSites
from .durations import CLASSES, SECOND, nanoseconds
from .outbox import Outbox
from .peak import Peak
from .ring import Ring

MAX_NAMES = 50
"""Bound on the pool names of a process. Pools with further names are reported as ``_OTHER``."""
MAX_ORIGIN_LEDGERS = 180
"""Bound on combinations of pool name, origin and provider. With an ``_OTHER`` for each name there
are at most 230, and with six phases each, 1 380 attribute sets."""
MAX_OUTCOMES = 1_200
"""Bound on the series of requests: distinct pairs of origin ledger and outcome."""
Outcome = tuple[int | str, str | None, bool]
"""How a request left the pool: status (0 if none), error type, and whether it was sent again."""
Counters = dict[tuple[str, str | None], int]
"""Counters of a pool name, by counter and label value. Times are in nanoseconds."""
GONE_REPORTED = 600 * SECOND
"""Nanoseconds for which series are reported after they have ended. Over OTLP, nothing else ends a
series."""
KEPT_PER_SECOND = 20
"""Bound on the answers that are kept, so that a busy pool does not pay for each."""
SAMPLE_EVERY = 9 * SECOND
"""Time between the answers that are kept for longer: as many as the latest ones cover half an
hour."""
SAMPLED_FIRST = 100
"""Answers that are sampled four times a second, so that a young process has some to compare."""
_MOST_CALL_SITES = 16
"""Bound on the call sites of an origin's pools. Further pools count without their call site."""
# Failures that alerts use. Their series exist with 0 from the pool's first request on, since
# increase() does not see the increase of a series that begins at 1.
CONNECT_ERRORS = (
    "connect_timeout",
    "name_resolution_error",
    "connection_error",
    "secure_connection_error",
)
_BORN_AT_ZERO: tuple[Outcome, ...] = tuple((0, error, False) for error in CONNECT_ERRORS)
_DEFAULT_PORTS = {b"http": 80, b"ws": 80, b"https": 443, b"wss": 443}
# The encoded host of a URL: a name or an IPv4 address in parts of at most 63 characters (RFC 1035),
# or an IPv6 address. Anything else would be text of unknown source in a label. Most API keys, for
# example, are longer than 63 characters.
_HOST = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?|(?=.{2,45}\Z)[0-9a-f]*:[0-9a-f]*:[0-9a-f:.]*"
)
_HIGHEST_PORT = 65535


def is_host(text: str) -> bool:
    """Return whether ``text``, in lower case, can be the host of a URL and so may be reported."""
    return _HOST.fullmatch(text) is not None


def _is_port(port: object) -> bool:
    # Libraries accept any number. One beyond 64 bits would keep data points from being exported.
    return port is None or (isinstance(port, int) and 0 < port <= _HIGHEST_PORT)


class Failed(NamedTuple):
    """A request that failed, was refused, or was cut by its reader. Times are nanoseconds."""

    ended_at: int
    result: Any
    """Error type, else the exception that cut it, else the status."""
    age: int
    """Time since the call began; without a call, since the request entered the pool."""
    phase: int
    """The request's last phase."""
    phase_age: int
    model: str | None
    call_site: CallSite | None
    head: int
    """Time that it waited for the head of the response."""
    verify_code: int
    """`TrackedConnection.verify_code`."""


class Answered(NamedTuple):
    """A first attempt that was served. Times are nanoseconds."""

    ended_at: int
    model: str | None
    head: int
    """Time until the head of the response."""
    rest: int
    """Time from the head to the end."""
    items: int
    """Items that the application requested."""
    number: int
    """Answers since the entry before."""
    call_site: CallSite | None
    gap: int
    """Longest wait for an item."""


class Bound:
    """A bound on distinct items, over all ledgers of a process. ``left`` more are allowed."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, number: int) -> bool:
        """Reserve ``number`` items. If fewer are left, reserve none and return False."""
        if self.left < number:
            return False
        self.left -= number
        return True


class BuiltAt:
    """A call site that builds pools, and how many of an origin's pools it has built."""

    def __init__(self, call_site: CallSite) -> None:
        self.call_site = call_site
        self.pools = 0
        self.used_at: CallSite | None = None
        """Call site of the last pool's first request; None if unknown."""


class EndedTimes:
    """Nanoseconds that the requests of one outcome took, and how many of them were sent."""

    def __init__(self) -> None:
        self.sent = 0
        """Requests that acquired a connection."""
        self.total = 0
        self.held = 0
        self.awaiting_response = 0
        self.reading = 0
        """Upper bound on the time of reading: includes the pauses between reads, but
        not the unread time after the last read."""


class OriginLedger:
    """Times and counts of one pool name for one origin and one provider."""

    def __init__(
        self, pool: PoolLedger, address: str, port: int | None, provider: str | None = None
    ) -> None:
        self.pool = pool
        self.address = address
        self.port = port
        self.provider = provider
        """any-llm's key of the provider of its requests; None if unknown."""
        self.spent = [0] * len(PHASES)
        """Nanoseconds in each phase that leases have left. Sums of integers do not drift."""
        self.set_up_time = [0] * len(ALL_STEPS)
        """Nanoseconds in each step that set-ups of connections have left."""
        self.requests: dict[Outcome, int] = {}
        """Requests that left the pool, by outcome."""
        self.other_times: dict[Outcome, EndedTimes] = {}
        """Times of all requests except first attempts that the provider served, by outcome."""
        if pool.outcomes.take(len(pool.born_at_zero)):
            for outcome in pool.born_at_zero:
                self._add(outcome)
        self.on_new_connection = 0
        """Requests that waited while their connection was established."""
        self.resent = 0
        """Requests other than the first of their any-llm call."""
        self.took = [0] * CLASSES
        """Requests that left the pool by the class of their whole time."""
        self.pauses = self.paused = 0
        """Pauses before a request is sent again that have ended: their number and nanoseconds. Of
        urllib3, if an answer has ``Retry-After``, and of SDKs whose calls are not counted."""
        self.pausing = self.pausing_since = 0
        """Number of pauses that still last, and the sum of the times at which they began."""
        self.timeouts = {"pool": 0, "connect": 0, "read": 0, "write": 0}
        self.reuse_failures = 0
        self.longest_silence = 0
        """Longest time, in nanoseconds, that a request had waited when its reused connection
        failed."""
        self.longest_answered = 0
        """Longest time, in nanoseconds, that a request waited for bytes until they arrived."""
        self.cut: dict[str, int] = {}
        """Requests whose response an exception cut, by its name."""
        self.lost_peers = 0
        """Ended requests whose connection was lost, by the watch's last check of their socket."""
        self.entered = 0
        """Requests that entered a pool for it, including those in flight."""
        self.pools = 0
        """Pools that ever had a request for it. A pool that two providers share is counted in one
        of its two ledgers for the origin."""
        self.pools_gone = self.requests_gone = 0
        """Discarded pools among `pools`, each counted in one ledger as well, and their requests."""
        self.built_at: dict[tuple[str, int], BuiltAt] = {}
        """Known call sites that built these pools, by `CallSite.key`."""
        self.protocols: set[str] = set()
        """Protocols of the connections so far."""
        self.attributes: Any = None
        """Attribute sets of the telemetry for this origin, built once."""

    @property
    def reported(self) -> tuple[str, int | None]:
        """Address and port that it is reported under; several providers' ledgers can share them."""
        return self.address, self.port

    @contextlib.contextmanager
    def pause(self, clock: Callable[[], int]) -> Iterator[None]:
        """Count a pause, and the time that it takes."""
        began = clock()
        # atomic
        self.pausing += 1
        self.pausing_since += began
        # end of atomic
        try:
            yield
        finally:
            # atomic. First of all, since a signal handler may raise in `clock`.
            self.pausing -= 1
            self.pausing_since -= began
            # end of atomic
            time = clock() - began
            # atomic
            self.pauses += 1
            self.paused += time

    def pool_entered(self, call_site: CallSite | None, used_at: CallSite | None) -> None:
        """Count a pool with its first request for this origin, and the call site that built it.

        ``used_at`` is the call site of the pool's first request.
        """
        self.pools += 1
        if call_site is None:
            return
        built = self.built_at.get(call_site.key)
        if built is None:
            if len(self.built_at) >= _MOST_CALL_SITES:
                return
            built = self.built_at.setdefault(call_site.key, BuiltAt(call_site))
        built.pools += 1
        built.used_at = used_at

    def outcome(self, status: int | str, error: str | None, resend: bool) -> Outcome:
        """Return the key of ``requests`` for a request that left; ``_OTHER`` beyond the bound."""
        key: Outcome = (status, error, resend)
        if key not in self.requests:
            if not self.pool.outcomes.take(1):
                key = (0, OTHER, False)
            self._add(key)
        return key

    def _add(self, outcome: Outcome) -> None:
        status, error, resend = outcome
        if resend or not served(status, error):
            self.other_times.setdefault(outcome, EndedTimes())
        self.requests.setdefault(outcome, 0)


class PoolSeries:
    """The pool-level series of one pool name under one provider.

    A name has one PoolSeries while all its requests have the same provider. When a second provider
    appears, the series ends, and a new one without a provider begins.
    """

    def __init__(self, provider: str | None, base: Counters) -> None:
        self.provider = provider
        self.base = base
        """The name's counters when the series began. The series reports what was added since."""
        self.ended_at = 0
        """When the series ended; 0 while it is the current one."""
        self.attributes: Any = None
        """Attribute sets of the telemetry, built once."""
        self.reported: Counters = {}
        """Last reported value of each counter. A counter must never fall, even if another thread
        changes it during the collection."""


class PoolLedger:
    """Times and counts of all pools of one name and library."""

    born_at_zero: ClassVar[tuple[Outcome, ...]] = _BORN_AT_ZERO
    """Outcomes whose series exist from the first request on."""
    reports_connections: ClassVar[bool] = True
    """Whether the library reports the connections of a pool."""

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
        """The series that ended when a second provider appeared, which happens at most once."""
        self.library = library
        self.origins: dict[tuple[str, int | None, str | None], OriginLedger] = {}
        self.ring = Ring()
        self.watch(window, now)
        self.opened = 0
        self.closed: dict[str, int] = {}
        self.requeues = 0
        self.acquire_timeout: float | None = None
        """Pool timeout of the latest request, in seconds."""
        self.streams_most = 0
        """Highest stream limit that a reading found on an HTTP/2 connection."""
        self.leaks = 0
        """Leases that were ever suspected as leaks."""
        self.leaked_at: CallSite | None = None
        """Call site of the latest of these leases."""
        self.anomalies = dict.fromkeys(ANOMALIES, 0)
        self.two_loops: CallSites | None = None
        """Call sites of the last ``wrong_event_loop``: where the connection was established, and
        where the request was sent that failed in another loop."""
        self.closed_at: CallSite | None = None
        """Call site that closed a pool with requests in flight, the last one."""
        self.failed: deque[Failed] = deque(maxlen=MOST_FAILED)
        """Latest requests that failed or were refused."""
        self.answered: deque[Answered] = deque(maxlen=MOST_ANSWERED)
        """First attempts that were served, at most `KEPT_PER_SECOND`."""
        self.kept = self.kept_since = 0
        """Entries added to `answered` in the current second, and when that second began."""
        self.answers = 0
        """Answers since the last entry."""
        self.sampled: deque[Answered] = deque(maxlen=MOST_ANSWERED)
        """Entries of ``answered`` kept for longer: one in `SAMPLE_EVERY`, first four a second."""
        self.samples = True
        """False while ``sampled`` has to stay as it was before a problem began."""
        self.sampled_at = -SAMPLE_EVERY
        self.sampled_from = 0
        """When the time of the last sample began, and answers of that time so far."""
        self.live = 0
        self.pools_opened = 0
        self.pools_synchronous = 0
        """Pools that synchronous code uses, as far as that is known."""
        self.discarded = {"closed": 0, "garbage_collected": 0}
        self.empty_since: int | None = None
        """When the last pool of this name was discarded; None while there is one."""

    @property
    def provider(self) -> str | None:
        """any-llm's key of the provider of all its requests; None if unknown or not only one."""
        return self.series.provider

    def asked_for(self, provider: str | None, now: int) -> None:
        """Record the provider of a request. A second provider ends the series of the first."""
        before = self.series
        if before.provider is None or before.provider == provider:
            return
        series = PoolSeries(None, self.counters(now))
        # atomic
        if self.series is before:
            before.ended_at = now
            self.former = before
            self.series = series

    def counters(self, now: int) -> Counters:  # noqa: ARG002
        """Return all counters of the name itself, without those of its origins."""
        found: Counters = {("pools_opened", None): self.pools_opened, ("leaks", None): self.leaks}
        labelled = {"discarded": self.discarded}
        if self.reports_connections:
            found["opened", None] = self.opened
            found["requeues", None] = self.requeues
            labelled |= {"closed": self.closed, "anomalies": self.anomalies}
        for what, counts in labelled.items():
            for label, count in snapshot_of(counts.items):
                found[what, label] = count
        return found

    def states(self) -> dict[str, int]:
        """Count its pools by state, if the library has states of pools."""
        return {}

    @property
    def synchronous(self) -> bool:
        """Whether synchronous code uses most of its pools, as far as that is known."""
        return 2 * self.pools_synchronous > self.pools_opened

    def watch(self, window: int, now: int) -> None:
        """Restart the peaks, over a ``window`` in nanoseconds."""
        self.active = Peak(window, now)
        """Connections that are active or being established."""
        self.queued = Peak(window, now)
        """Requests that are in a queue."""

    def abandon(self, now: int) -> None:
        """Stop tracking all pools of this name. What was counted stays."""
        self.live = 0
        self.active.value = self.queued.value = 0
        if self.empty_since is None:
            self.empty_since = now

    def connection_closed(self, reason: str) -> None:
        """Count a closed connection."""
        if reason not in self.closed:
            self.closed.setdefault(reason, 0)
        self.closed[reason] += 1


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of a pool: a name and a provider."""

    name: str
    """Name that the pool is reported under; empty for a client passed in without a name."""
    provider: str | None
    """any-llm's key of the provider whose call built the pool; None if no call did."""


class Ledgers:
    """The ledgers of a Meter by name and origin, within bounds, and other state that it keeps.

    The SDK's series continue when the instrumentation is uninstalled and installed again. A counter
    that restarted at 0 would fall, and a delta would be negative.
    """

    def __init__(self, outbox: Outbox | None = None) -> None:
        self.pools: dict[tuple[str, str], PoolLedger] = {}
        """Ledgers by pool name and library."""
        self.max_origins = 0
        self.window = 0
        """Window of the peaks, in nanoseconds."""
        self.origins: set[tuple[str, int | None]] = set()
        """The origins that are reported under their own address, as address and port."""
        self.origin_ledgers = 0
        self.outcomes = Bound(MAX_OUTCOMES)
        self.calls = CallLedgers()
        self.failures = Failures()
        self.outbox = outbox or Outbox()
        self.late_time = 0
        """Nanoseconds by which event loops were late, see `LoopLag`."""
        self.late_reported = 0
        """Highest value of the late time that was reported: a counter must never fall."""

    def configure(self, max_origins: int, peak_window: float, now: int) -> None:
        """Take over the settings of a new installation, and restart the peaks.

        ``max_origins`` bounds the origins that are reported under their own address;
        ``peak_window`` is in seconds.
        """
        self.max_origins = max_origins
        self.window = nanoseconds(peak_window)
        for ledger in self.pools.values():
            ledger.watch(self.window, now)

    def clear(self) -> None:
        """Reset everything in a forked child: the parent reports what it has counted."""
        self.pools.clear()
        self.origins.clear()
        self.origin_ledgers = 0
        self.outcomes.left = MAX_OUTCOMES
        self.calls.clear()
        self.failures.counts.clear()
        self.outbox.items.clear()
        self.outbox.dropped = 0
        self.late_time = self.late_reported = 0

    def pool(
        self,
        name: str,
        provider: str | None,
        library: str,
        now: int,
        kind: type[PoolLedger] = PoolLedger,
    ) -> PoolLedger:
        """Return the ledger of a pool name, for a request of ``provider``.

        Beyond the bound, return the ledger of ``_OTHER``. A new ledger is a ``kind``.
        """
        key, first = (name, library), provider
        if key not in self.pools and len(self.pools) >= MAX_NAMES:
            key, first = (OTHER, library), None
        ledger = self.pools.get(key)
        if ledger is None:
            made = kind(key[0], first, library, window=self.window, now=now, outcomes=self.outcomes)
            ledger = self.pools.setdefault(key, made)
        ledger.asked_for(provider, now)
        return ledger

    def origin(
        self,
        ledger: PoolLedger,
        host: bytes,
        port: int | None,
        scheme: bytes,
        provider: str | None = None,
    ) -> OriginLedger:
        """Return the ledger of an origin for a provider; beyond the bound, that for ``_OTHER``."""
        origin = self.reported_origin(host, port, scheme)
        found = ledger.origins.get((*origin, provider))
        if found is None and self.origin_ledgers >= MAX_ORIGIN_LEDGERS:
            origin, provider = (OTHER, None), None
            found = ledger.origins.get((*origin, provider))
        if found is None:
            self.origin_ledgers += 1
            made = OriginLedger(ledger, *origin, provider)
            found = ledger.origins.setdefault((*origin, provider), made)
        return found

    def reported_origin(
        self, host: bytes, port: int | None, scheme: bytes
    ) -> tuple[str, int | None]:
        """Return the address and port that an origin is reported under."""
        origin = (host.decode("ascii", "replace").lower(), port or _DEFAULT_PORTS.get(scheme))
        if origin in self.origins:
            return origin
        full = len(self.origins) >= self.max_origins
        if full or not is_host(origin[0]) or not _is_port(origin[1]):
            return OTHER, None
        self.origins.add(origin)
        return origin

    def reported(self, now: int) -> list[PoolLedger]:
        """Return the ledgers to report. A name stays for ten minutes after its last pool."""
        return [
            ledger
            for ledger in snapshot_of(self.pools.values)
            if ledger.live or ledger.empty_since is None or now - ledger.empty_since < GONE_REPORTED
        ]

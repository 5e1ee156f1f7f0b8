"""The process's own account: what its calls and requests did in each minute of the last hour.

A snapshot that is taken once and late can thus be compared with the time before. Rows hold only
what has changed, as plain numbers. Their keys are bounded, since the ledgers are.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .. import thresholds
from ..concurrency import snapshot_of, snapshot_of_queue
from ..pool.call import CallsNow
from ..pool.counts import PoolSums
from ..pool.durations import longest_of, nanoseconds
from ..pool.lease import Lease
from ..pool.ledger import OriginLedger, PoolLedger
from ..pool.registry import PoolRegistry
from ..vocabulary import CALLS, OUTCOMES, PHASES, STAGES, STEPS, Item, Subject

ROW = nanoseconds(thresholds.ACCOUNT_ROW)
_LONGEST_HELD = nanoseconds(thresholds.ACCOUNT_HELD)

Reading = dict[tuple[Subject, Item], int]


@dataclass(frozen=True, slots=True)
class Row:
    """What was added from ``since`` to ``until``: numbers of keys, and what was added to each."""

    since: int
    until: int
    keys: array[int]
    added: array[int]


@dataclass(frozen=True, slots=True)
class _State:
    """Replaced as a whole, so that another thread or a signal handler reads all of one moment."""

    since: int
    reading: Reading
    rows: tuple[Row, ...] = ()
    resting: tuple[int, Reading] | None = field(default=None)
    """When the watch came to rest, and what it read then."""


class Account:
    """The account of one installation. The watch writes it."""

    def __init__(self, registry: PoolRegistry) -> None:
        self._registry = registry
        self.row = ROW
        self.restart()

    def restart(self) -> None:
        """Begin now. The ledgers may contain counts of an earlier installation."""
        self.held: tuple[int, tuple[Row, ...]] | None = None
        """When a problem began, and the rows before that; None without one."""
        self._keys: list[tuple[Subject, Item]] = []
        self._numbers: dict[tuple[Subject, Item], int] = {}
        now = self._registry.clock()
        reading: Reading = {}
        try:
            reading = self._read(now)
        except Exception as error:
            self._registry.failures.caught("watch.account", error)
        self._state = _State(now, reading)

    def look(self) -> None:
        """End the current row if its minute is over."""
        now, state = self._registry.clock(), self._state
        if now - state.since < self.row:
            if state.resting is not None:
                self._state = _State(state.since, state.reading, state.rows)
            return
        # A minute that ended while nothing was in flight ends when that began.
        until, reading = state.resting or (now, self._read(now))
        added = _added(state.reading, reading)
        row = Row(
            state.since, until, array("I", map(self._number, added)), array("q", added.values())
        )
        rows = (*state.rows, row)[-thresholds.ACCOUNT_ROWS :]
        # A reading lacks a phase that ended during it. Its time so far is in an earlier row.
        kept = state.reading | {key: reading[key] for key in added}
        self._state = _State(now, kept, rows)

    def rest(self) -> None:
        """Note that nothing has been in flight for a while."""
        now, state = self._registry.clock(), self._state
        self._state = _State(state.since, state.reading, state.rows, (now, self._read(now)))

    def minutes(self, now: int, reading: Reading) -> Iterator[tuple[int, int, Reading]]:
        """Yield the begin and the end of each row and what was added in it, oldest first.

        The last one ends with this ``reading``.
        """
        state = self._state
        yield from self.added_in(state.rows)
        until = now if state.resting is None else state.resting[0]
        yield state.since, until, _added(state.reading, reading)

    def added_in(self, rows: Iterable[Row]) -> Iterator[tuple[int, int, Reading]]:
        """Yield the begin and the end of each row, and what was added between them."""
        keys = self._keys
        for row in rows:
            added = zip((keys[number] for number in row.keys), row.added, strict=True)
            yield row.since, row.until, dict(added)

    def hold(self, held: bool) -> None:
        """Keep the rows and sampled answers so far as the time to compare with, or no longer.

        A problem that lasts for hours would otherwise become what is usual. Kept for a day at most.
        """
        now = self._registry.clock()
        if held and self.held is None:
            self.held = now, self._state.rows
        elif self.held is None or (held and now - self.held[0] < _LONGEST_HELD):
            return
        else:
            self.held = None
        for ledger in snapshot_of(self._registry.ledgers.pools.values):
            ledger.samples = self.held is None

    def _number(self, key: tuple[Subject, Item]) -> int:
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._keys)
            self._keys.append(key)
        return number

    def _read(self, now: int) -> Reading:
        registry = self._registry
        count_outbox(registry)
        return read_ledgers(registry, registry.calls.state(), registry.state(now)[1], now)


def _added(before: Reading, now: Reading) -> Reading:
    return {key: more for key, value in now.items() if (more := value - before.get(key, 0)) > 0}


def count_outbox(registry: PoolRegistry) -> None:
    """Count the leases that ended since the last collection: the ledgers lack them."""
    for item in snapshot_of_queue(registry.outbox.items):
        if isinstance(item, Lease) and item.ended_at:
            item.account()


def read_ledgers(
    registry: PoolRegistry, calls: Iterable[CallsNow], counts: PoolSums, now: int
) -> Reading:
    """Return everything that was counted so far, requests and calls in flight included."""
    found: Reading = {}
    for state in calls:
        of_calls: Subject = (CALLS, state.ledger.source, state.ledger.provider)
        found.update(((of_calls, item), value) for item, value in _of_calls(state) if value)
    for ledger in snapshot_of(registry.ledgers.pools.values):
        label = f"{ledger.name}/{ledger.library}"
        of_pool: Subject = (label, None, None)
        found.update(((of_pool, item), value) for item, value in _of_pool(ledger) if value)
        for origin in snapshot_of(ledger.origins.values):
            host = origin.address if origin.port is None else f"{origin.address}:{origin.port}"
            subject: Subject = (label, host, origin.provider)
            items = _of_origin(origin, counts, now)
            found.update(((subject, item), value) for item, value in items if value)
    return found


def _of_calls(state: CallsNow) -> Iterator[tuple[Item, int]]:
    ledger = state.ledger
    for stage, time in zip(STAGES, state.spent, strict=True):
        yield ("stage", stage), time
    for number, outcome in enumerate(OUTCOMES):
        calls = snapshot_of(ledger.calls.values)
        yield ("outcome", outcome), sum(counts[number] for counts in calls)
    for error, count in snapshot_of(ledger.errors.items):
        yield ("error", error), count
    for number, count in enumerate(ledger.took):
        yield ("took", longest_of(number)), count
    yield ("retries",), state.retries
    for what in ("attempts_repeated", "pauses", "pauses_requested", "limited", "unsent", "turns"):
        yield (what,), getattr(ledger, what)


def _of_pool(ledger: PoolLedger) -> Iterator[tuple[Item, int]]:
    yield ("leaks",), ledger.leaks
    for reason, count in snapshot_of(ledger.closed.items):
        yield ("closed", reason), count
    # Read last: a connection that other threads open and close meanwhile counts as opened.
    yield ("opened",), ledger.opened
    for anomaly, count in snapshot_of(ledger.anomalies.items):
        yield ("anomaly", anomaly), count


def _of_origin(origin: OriginLedger, counts: PoolSums, now: int) -> Iterator[tuple[Item, int]]:
    running = counts.requests[origin]
    spent = counts.spent.get(origin) or origin.spent
    for number, phase in enumerate(PHASES):
        time = spent[number] + running.count[number] * now - running.since[number]
        # Another thread's request may have entered the phase since ``now``.
        yield ("phase", phase), max(time, 0)
    steps = counts.steps.get(origin) or origin.set_up_time
    for step, time in zip((*STEPS, "thread"), steps, strict=True):
        yield ("step", step), time
    for outcome, count in snapshot_of(origin.requests.items):
        yield ("left", *outcome), count
        times = origin.other_times.get(outcome)
        if count and times is not None:
            yield ("sent", *outcome), times.sent
            for part in ("total", "held", "awaiting_response", "reading"):
                yield ("left_time", *outcome, part), getattr(times, part)
    for number, count in enumerate(origin.took):
        yield ("took", longest_of(number)), count
    for kind, count in snapshot_of(origin.timeouts.items):
        yield ("timeout", kind), count
    for error, count in snapshot_of(origin.cut.items):
        yield ("cut", error), count
    yield ("pauses",), origin.pauses + origin.pausing
    yield ("paused",), origin.paused + max(origin.pausing * now - origin.pausing_since, 0)
    yield ("pools_gone",), origin.pools_gone
    yield ("requests_gone",), origin.requests_gone
    for what in ("entered", "resent", "on_new_connection", "reuse_failures", "lost_peers"):
        yield (what,), getattr(origin, what)

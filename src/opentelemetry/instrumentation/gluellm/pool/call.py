"""LLM calls: the attribution of requests to calls, and the time that calls spend in each stage.

A `Call` is one call of any-llm or an SDK, to which requests are attributed. A `CountedCall` is one
model call as the application makes it, which can contain several `Call` objects. Its mutable state
is its stage, the time at which it entered that stage, and the number of its requests in flight.

The finalizer rule and the atomic rule (``lease.py``) apply to both classes, since finalizers end
calls.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from .. import thresholds
from ..concurrency import newest_of_queue, snapshot_of
from ..failures import raise_on
from ..text import one_line
from ..vocabulary import (
    ABANDONED,
    BACKOFF,
    CANCELLED,
    FAILED,
    FINISHING,
    HTTP,
    LIMITED,
    NOT_RETRIED,
    OTHER,
    OUTCOMES,
    PREPARING,
    READING,
    REQUESTING,
    RETRIED,
    STAGES,
    SUCCEEDED,
    served,
)
from .call_site import CallSite
from .durations import CLASSES, class_of, nanoseconds
from .outbox import Outbox
from .peak import Peak

_REFUSED = 400
_RECENT = 1_000
"""Number of the latest requests in the outbox among which those of a call are searched."""
_PUT_WITHIN = nanoseconds(0.1)
_LONGEST_NAME = 64
_HOUR = nanoseconds(3600)
_LONGEST_STEP = _HOUR // 100
"""Longest time that one wait adds to `_LongestWait.time`: an hour has at least a hundred waits."""
_FIRST_ANSWER = nanoseconds(thresholds.CALL_SILENT_FIRST)
_SILENT_FACTOR = int(thresholds.CALL_SILENT_FACTOR)

_SHORTEST_LIMITED = nanoseconds(thresholds.SHORTEST_LIMITED)
MAX_LEDGERS = 50
"""Bound on the pairs of provider and source. Further providers are reported as ``_OTHER``."""
MAX_OPERATIONS = 6
MAX_ERROR_NAMES = 20
"""Bound on the names of exceptions that are reported as ``error.type``."""
MAX_ERRORS = 1_200
"""Bound on the series of failed calls."""


@dataclass(slots=True, eq=False)
class Call:
    """One call of any-llm or an SDK, or one request outside of calls.

    Requests and any-llm's pools that begin inside a call are attributed to it.
    """

    provider: str | None
    """None if unknown, which only a call of source ``http`` can have."""
    model: str | None = None
    operation: str | None = None
    call_site: CallSite | None = None
    """Line of the application that made the call; None if unknown."""
    correlation_id: str | None = None
    """GlueLLM's correlation id; None if there is none."""
    counted: CountedCall | None = None
    """The application's call that this one is or belongs to; None if it is not counted: for a
    constructor, or with ``calls=False``."""
    ends_counted: bool = False
    """Whether `counted` ends with this call."""
    sdk: bool = False
    """Whether an SDK made the call. Pools are then named after SDKs."""
    single: bool = False
    """Whether the call is a request outside of other calls: source ``http``."""
    ended: bool = False
    """Whether the call is over. Further requests are then not attributed to it."""
    requests: int = 0
    steps: int = 0
    """How often the application has requested the next item of the call's stream."""
    waiting: bool = False
    """Whether the application is waiting for the next item now."""

    def start(self) -> None:
        """Start its counted call, if that ends with this call."""
        counted = self.counted
        if counted is not None and self.ends_counted and not counted.ended_at:
            counted.calls.live[counted] = None

    def end(self, outcome: int = SUCCEEDED) -> None:
        """End the call, once. An end that a signal handler interrupted can be repeated."""
        self.ended = True
        if self.counted is not None and self.ends_counted:
            self.counted.end(outcome)

    def end_by(self, error: BaseException) -> None:
        """End the call with an exception that left it or its stream."""
        self.ended = True
        if self.counted is not None and self.ends_counted:
            self.counted.end_by(error)


class CountedCall:
    """One model call as the application makes it, with its time in each stage.

    All times are nanoseconds of the registry's monotonic clock. A call is in exactly one stage
    until it ends, and its stages add up to its whole time.
    """

    # Attributes that most calls never set are defaults of the class.
    attempts = 0
    """Attempts of GlueLLM so far."""
    turn = False
    """Whether an earlier call had the same correlation id: a further turn of a tool loop."""
    resends = False
    """Whether its next request is a retry that `send` has counted."""
    ends_with_requests = False
    """Whether the call ends with its last request in flight: it is one request, or an SDK has
    returned a response whose body is still open."""
    queued = 0
    """Nanoseconds that its requests waited for connections."""
    awaiting_response = 0
    """Nanoseconds that its requests waited for the heads of their responses."""
    seen_steps = 0
    """Value of `Call.steps` at the previous check."""
    gap = 0
    """Longest wait for an item that has ended, of those that a check saw."""
    waiting_since = 0
    """When a check first found the application waiting for the current item; 0 if it is not."""
    outcome = SUCCEEDED
    error: str | None = None
    """``error.type`` if the outcome is `FAILED`."""

    def __init__(
        self, calls: LiveCalls, source: str, operation: str, now: int, streamed: bool | None
    ) -> None:
        self.calls = calls
        self.source = source
        self.operation = operation
        self.model: str | None = None
        self.ledger: CallLedger | None = None
        """Ledger that counts the call; None until the provider is known."""
        self.began_at = now
        self.since = now
        """When the call entered its current stage."""
        self.ended_at = 0
        """When the call ended; 0 until then."""
        self.stage = PREPARING
        self.spent = [0, 0, 0, 0, 0]
        """Nanoseconds in each stage, without the time in the current stage since `since`."""
        self.in_flight = 0
        """Number of the call's requests in flight."""
        self.resting: int | None = None
        """Stage to enter after its last request in flight; None if the result of that request
        decides: `BACKOFF` or `FINISHING`."""
        self.paused = False
        """Whether the call has backed off since its last request entered a pool."""
        self.last: Any = None
        """Lease of the request that ended last. Set to None when the call ends, so that no
        reference cycle remains."""
        self.task: tuple[int, int] | None = None
        """Identity of the event loop and task in which it began; None without a task."""
        self.streamed = streamed
        """Whether the application reads the answer item by item; None if the items can't be
        observed."""
        self.stream: Call | Bytes | None = None
        """What the application is reading: counts the steps of the reader."""
        self.retries = 0
        self.observed: Any = None
        """Data of the observers, such as a span context."""
        self.client_span: Any = None
        """Weak reference to the CLIENT span that gets its attributes; None if there is none."""

    def start(self) -> None:
        """Add it to the calls in flight.

        The caller must already be inside the ``try`` block that ends the call on an exception.
        """
        if not self.ended_at:
            self.calls.live[self] = None

    def found_provider(self, provider: str | None) -> None:
        """Set the ledger by provider, unless it is already set."""
        if self.ledger is None:
            ledger = self.calls.ledgers.of(provider, self.source)
            if self.operation not in ledger.calls:
                ledger.calls.setdefault(self.operation, [0] * len(OUTCOMES))
            self.ledger = ledger

    def enter(self, stage: int) -> None:
        """Enter a stage now or, while requests are in flight, after the last of them."""
        now, ledger = self.calls.clock(), self.ledger
        # atomic
        if self.in_flight or self.ended_at:
            self.resting = stage
            return
        before = self.stage
        if before != stage:
            if before == BACKOFF:
                self.paused = True
            self.spent[before] += now - self.since
            if before == LIMITED and ledger is not None and now - self.since >= _SHORTEST_LIMITED:
                ledger.limited += 1
            self.since = now
        self.stage = stage

    # For a call's first request, `PoolTracker` has the code of these two methods inline.

    def further_request(self, lease: Any) -> None:
        """Count a request that enters a pool. `PoolTracker` counts the first one itself."""
        now = lease.entered_at
        # atomic
        if self.ended_at:
            return
        if self.ends_with_requests:
            self.calls.live[self] = None
        if self.in_flight:
            self.resting = None
        else:
            stage = self.stage
            if stage == BACKOFF:
                self.paused = True
            self.spent[stage] += now - self.since
            self.since = now
            self.stage = REQUESTING
        self.in_flight += 1
        if self.paused:
            self.paused = False
            self.retries += 1
            lease.resend = True
        elif self.resends:
            self.resends = False
            lease.resend = True

    def request_left(self, lease: Any, now: int) -> None:
        """Count the end of a request. `PoolTracker` counts the only one in flight itself.

        The finalizer rule applies.
        """
        # atomic
        if not self.in_flight:
            return
        self.last = lease
        self.in_flight = in_flight = self.in_flight - 1
        if in_flight:
            return
        self.spent[REQUESTING] += now - self.since
        self.since = now
        if self.resting is not None:
            self.stage = self.resting
            self.resting = None
        elif lease.status in RETRIED or lease.error not in NOT_RETRIED:
            self.stage = BACKOFF
        else:
            self.stage = FINISHING
        # end of atomic
        if self.ends_with_requests:
            self._end_with(lease)

    def _end_with(self, lease: Any) -> None:
        """End the call with the response of its last request. The finalizer rule applies.

        While the application waits for the next item of a stream, that step decides instead: SDKs
        close the response in the step that finds the end, before they have read all of the body.
        So do the next steps if the library reads ahead: a complete response has items left to take.
        """
        complete = not (lease.error or lease.incomplete)
        ahead = complete and lease.tracker.reader.reads_ahead
        if self.stream is not None and not lease.call.single and (self.stream.waiting or ahead):
            return
        lease.call.ended = True
        self.client_span = None  # its lock may be held
        error: str | None = lease.error
        if error not in NOT_RETRIED:
            outcome = FAILED
        elif error is not None:
            outcome, error = CANCELLED, None
        elif not served(lease.status, None):
            outcome, error = FAILED, str(lease.status)
        elif lease.incomplete or isinstance(sys.exc_info()[1], GeneratorExit):
            # An event loop that shuts down closes all generators at once: the pool's own may end
            # before the connection is closed.
            outcome = ABANDONED
        else:
            outcome = SUCCEEDED
        self.end(outcome, error, lease.ended_at)

    def returned_open(self, call: Call | None) -> None:
        """Keep the call open until the body of the response that an SDK returned is closed.

        ``call`` is the `Call` that will count the items of the response; None if it returned a raw
        response.
        """
        if self.stream is None:
            self.streams_to(call)
        # atomic
        if self.in_flight:
            self.ends_with_requests = True
            self.resting = FINISHING
        elif call is None and self.last is not None:
            self._end_with(self.last)  # aiohttp has read all of the body already

    def send(self) -> None:
        """Count an attempt of an SDK, which begins. A pool may show its request, or none does."""
        self.enter(REQUESTING)
        # atomic
        if self.paused:
            self.paused = False
            self.retries += 1
            self.resends = True

    def attempt(self) -> None:
        """Count an attempt of GlueLLM, which begins."""
        if self.attempts and self.ledger is not None:
            self.ledger.attempts_repeated += 1
        self.attempts += 1
        self.enter(PREPARING)

    def pause(self, headers: Mapping[str, Any]) -> None:
        """Count a pause of an SDK, which begins after an answer with these headers."""
        if self.ledger is not None:
            self.ledger.pauses += 1
            if "retry-after" in headers or "retry-after-ms" in headers:
                self.ledger.pauses_requested += 1
        self.enter(BACKOFF)

    def gap_until(self, now: int) -> int:
        """Return the longest wait for an item if the current one ends ``now``."""
        return max(self.gap, now - (self.waiting_since or now))

    def account(self, lease: Any) -> None:
        """Add the times of one of its requests that has ended."""
        self.queued += lease.acquire_time
        self.awaiting_response += lease.awaited

    def account_requests(self) -> None:
        """Add the times of its ended requests in the outbox. Must not run in finalizers."""
        # A lease is put in at its head and at its end, so what ended before the call is older than
        # the call's own. A thread may pause for a moment between the end of a lease and the put.
        oldest = self.began_at - _PUT_WITHIN
        for item in newest_of_queue(self.calls.outbox.items, _RECENT):
            if 0 < getattr(item, "ended_at", 0) < oldest:
                return
            call = getattr(item, "call", None)
            if call is not None and call.counted is self and item.ended_at:
                item.account()

    def streams_to(self, call: Call | Bytes | None) -> None:
        """Keep the call open until the stream that it returned ends.

        ``call`` counts the items or reads of the stream; None if they are not observed.
        """
        now = self.calls.clock()
        if call is not None and self.ledger is not None:
            self.ledger.streamed = True
            if self.stage == REQUESTING:
                self.ledger.answered(True, now - self.since, now)
        self.streamed = None if call is None else True
        self.stream = call

    def end_by(self, error: BaseException) -> None:
        """End the call with an exception that left it or its stream."""
        reads_items = self.stream is not None or self.streamed is None
        if reads_items and isinstance(error, (StopIteration, StopAsyncIteration)):
            self.end(SUCCEEDED)
        elif isinstance(error, GeneratorExit):
            self.end(ABANDONED)
        elif isinstance(error, Exception):
            self.end(FAILED, self._error_type(error))
        else:
            self.end(CANCELLED)

    def _error_type(self, error: Exception) -> str:
        last = self.last
        if last is not None:
            if last.error not in (None, "cancelled"):
                return str(last.error)
            if last.error is not None and isinstance(error, TimeoutError):
                return "timeout"
            if isinstance(last.status, int) and last.status >= _REFUSED:
                return str(last.status)
        return self.calls.ledgers.error_name(error)

    def end(self, outcome: int | None, error: str | None = None, at: int = 0) -> None:
        """End the call, once. With an ``outcome`` of None, only its time is counted.

        It ends at the time ``at`` or, if that is 0, now.

        The finalizer rule applies if the outcome is `ABANDONED`: a stream was closed or dropped.
        """
        ended_at = self.ended_at
        if ended_at:
            return
        calls = self.calls
        now = at or calls.clock()
        ledger = self.ledger
        if ledger is None:
            self.found_provider(None)
            ledger = self.ledger
            assert ledger is not None
        counts = ledger.calls[self.operation]
        if error is not None:
            error = ledger.error(error)
        own, spent, took = self.spent, ledger.spent, ledger.took
        length = class_of(now - self.began_at)
        last = self.last
        # atomic
        if self.ended_at:
            return
        self.ended_at = now
        own[self.stage] += now - self.since
        self.since = now
        self.stage = FINISHING
        self.in_flight = 0
        self.last = None
        limited, preparing, requesting, backoff, finishing = own
        spent[PREPARING] += preparing
        spent[REQUESTING] += requesting
        spent[FINISHING] += finishing
        if limited:
            spent[LIMITED] += limited
        if backoff:
            spent[BACKOFF] += backoff
        if self.retries:
            ledger.retries += self.retries
        if outcome is not None:
            counts[outcome] += 1
            took[length] += 1
            ledger.turns += self.turn
            if outcome != SUCCEEDED:
                self.outcome = outcome
            if error is not None:
                self.error = error
                ledger.errors[error] += 1
                ledger.unsent += last is None and not requesting
        if self in calls.live:
            del calls.live[self]
        # end of atomic. No reference cycle through the stream's call remains.
        if self.stream is not None:
            self.stream = None
            if self.waiting_since and outcome == SUCCEEDED:
                ledger.answered(True, now - self.waiting_since, now)
        elif last is not None and last.error is None and self.streamed is False:
            ledger.answered(False, own[REQUESTING], now)
        if outcome is not None:
            calls.outbox.put(self)
            if self.client_span is not None and outcome != ABANDONED:
                calls.observer.call_ended(self)


class Bytes:
    """The response of a call of source ``http``: its reads stand for the items of a stream."""

    __slots__ = ("_lease",)

    def __init__(self, lease: Any) -> None:
        self._lease = lease

    @property
    def waiting(self) -> bool:
        """Whether a read is in flight."""
        return self._lease.phase == READING and not self._lease.ended_at

    @property
    def steps(self) -> int:
        """A number that differs for each read."""
        since: int = self._lease.phase_since
        return since


class CallLedger:
    """Times and counts of the ended calls of one provider and source (level C of the contract)."""

    def __init__(self, ledgers: CallLedgers, provider: str | None, source: str) -> None:
        self._ledgers = ledgers
        self.provider = provider
        """any-llm's key; None if unknown."""
        self.source = source
        self.spent = [0] * len(STAGES)
        """Nanoseconds in each stage."""
        self.calls: dict[str, list[int]] = {}
        """Calls by operation and outcome."""
        self.errors: dict[str, int] = {}
        """Failed calls by ``error.type``."""
        self.unsent = 0
        """Failed calls that sent no request."""
        self.retries = 0
        self.took = [0] * CLASSES
        """Ended calls by the class of their duration."""
        self.attempts_repeated = 0
        """Attempts of GlueLLM other than the first of their call."""
        self.turns = 0
        """Ended calls of GlueLLM with the correlation id of the call before them."""
        self.pauses = 0
        """Pauses of SDKs before they send a request again."""
        self.pauses_requested = 0
        """Pauses among them after an answer with ``Retry-After``."""
        self.limited = 0
        """Waits in GlueLLM's rate limiter that have ended."""
        self.streamed = False
        """Whether any call was streamed."""
        self._longest: dict[bool, _LongestWait] = {}
        """Longest waits that ended in an item (True) or an answer (False)."""
        self.attributes: Any = None
        """Attribute sets of the telemetry, built once."""
        self.reported = [0] * (len(STAGES) + 1)
        """Last reported time of each stage, then last reported retries. Counters must not fall."""

    def error(self, error: str) -> str:
        """Return the key of ``errors`` for a failure; ``_OTHER`` beyond the bound."""
        if error not in self.errors:
            if self._ledgers.errors_left <= 0:
                error = OTHER
            self._ledgers.errors_left -= 1
            self.errors.setdefault(error, 0)
        return error

    def answered(self, streamed: bool, wait: int, now: int) -> None:
        """Note a wait that ended in an item or, if not ``streamed``, in an answer."""
        longest = self._longest.get(streamed)
        if longest is None:
            longest = self._longest.setdefault(streamed, _LongestWait(now))
        longest.add(wait, now)

    def silent_after(self, streamed: bool, threshold: int, now: int) -> int:
        """Return the shortest wait after which a call counts as silent.

        It depends on the longest recent wait that ended with an answer or an item.
        """
        longest = self._longest.get(streamed)
        if not streamed and (longest is None or longest.is_uncertain(now)):
            threshold = max(threshold, _FIRST_ANSWER)
        return threshold if longest is None else max(threshold, _SILENT_FACTOR * longest.wait)


class _LongestWait:
    """The longest wait of the last hour, or of the last hundred waits if these took longer.

    If one call in ten is long, an hour with few calls may contain no long one.
    """

    __slots__ = ("last", "peak", "time")

    def __init__(self, now: int) -> None:
        self.last = now
        self.time = 0
        """Clock of the peak."""
        self.peak = Peak(_HOUR, 0)

    @property
    def wait(self) -> int:
        """The longest wait in nanoseconds."""
        return self.peak.highest(self.time)

    def is_uncertain(self, now: int) -> bool:
        """Return whether the known waits cover less than 12 minutes, or none is of the last hour.

        Each wait after the first covers at most 36 s, so 12 minutes need at least 21 waits. Quick
        answers in a row say nothing about other models.
        """
        return self.time < _HOUR // 5 or now - self.last > _HOUR

    def add(self, wait: int, now: int) -> None:
        """Note a wait that ended. The finalizer rule applies."""
        self.time = time = self.time + min(now - self.last, _LONGEST_STEP)
        self.last = now
        peak = self.peak
        if wait > peak.high or time >= peak.end:
            peak.raise_to(wait, time)


class CallLedgers:
    """The call ledgers of a Meter by provider and source, within bounds."""

    def __init__(self) -> None:
        self.known: dict[tuple[str | None, str], CallLedger] = {}
        self.operations: dict[str, str] = {}
        self._error_names: dict[str, str] = {}
        self.errors_left = MAX_ERRORS

    def of(self, provider: str | None, source: str) -> CallLedger:
        """Return the ledger of a provider and source; beyond the bound, the one for ``_OTHER``."""
        found = self.known.get((provider, source))
        if found is None:
            key = (provider if len(self.known) < MAX_LEDGERS else OTHER, source)
            found = self.known.setdefault(key, CallLedger(self, *key))
        return found

    def error_name(self, error: Exception) -> str:
        """Return the ``error.type`` of an exception whose cause is not known from a request."""
        try:
            name = one_line(type(error).__name__, _LONGEST_NAME)
        except Exception as own:  # a class can make reading its name fail
            raise_on(own)
            return OTHER
        return bounded(self._error_names, name, MAX_ERROR_NAMES)

    def clear(self) -> None:
        """Reset everything in a forked child, since the parent reports the counts until then."""
        self.known.clear()
        self.operations.clear()
        self._error_names.clear()
        self.errors_left = MAX_ERRORS


def bounded(known: dict[str, str], name: str, most: int) -> str:
    """Return ``name``, or ``_OTHER`` if it is new and ``known`` already has ``most`` names."""
    if name in known or name == OTHER:
        return name
    if len(known) >= most:
        return OTHER
    known[name] = name
    return name


class CallsNow:
    """The calls of one ledger at one moment. Times are nanoseconds."""

    __slots__ = (
        "ages",
        "count",
        "ledger",
        "oldest",
        "retries",
        "silence",
        "silent",
        "spent",
        "unseen",
    )

    def __init__(self, ledger: CallLedger) -> None:
        self.ledger = ledger
        self.spent = list(ledger.spent)
        """Time in each stage, of ended and running calls together."""
        self.retries = ledger.retries
        self.count = [0] * len(STAGES)
        """Calls in each stage."""
        self.oldest = [0] * len(STAGES)
        """Longest time that a call has been in each stage without leaving it."""
        self.ages = [0] * CLASSES
        """Calls in flight by the class of their time so far."""
        self.unseen = 0
        """Calls in `REQUESTING` whose request no pool shows."""
        self.silent = 0
        """Calls that have waited unusually long for the provider."""
        self.silence = 0
        """Longest time that the application has been waiting for the next item of a stream."""


_state = attrgetter("ended_at", "stage", "since", "retries", "in_flight")
_spent = attrgetter("spent")


class LiveCalls:
    """The calls in flight of an installation. Refers to no object of a library or application."""

    def __init__(
        self,
        ledgers: CallLedgers,
        outbox: Outbox,
        observer: Any,
        entry_context: Callable[[], object],
        clock: Callable[[], int],
        silence_threshold: float,
    ) -> None:
        self.ledgers = ledgers
        self.outbox = outbox
        self.observer = observer
        """The `PoolObserver` of the installation."""
        self.clock = clock
        self._entry_context = entry_context
        self._threshold = nanoseconds(silence_threshold)
        self.live: dict[CountedCall, None] = {}

    def begin(
        self,
        source: str,
        operation: str,
        provider: str | None = None,
        *,
        streamed: bool | None = False,
    ) -> CountedCall:
        """Return a new call, which is in flight from `CountedCall.start` on.

        Without a ``provider``, it counts for the provider of its first request, including its time
        before that request.
        """
        ledger = None if provider is None else self.ledgers.known.get((provider, source))
        if ledger is None or operation not in ledger.calls:
            ledger = None
            operation = bounded(self.ledgers.operations, operation, MAX_OPERATIONS)
        call = CountedCall(self, source, operation, self.clock(), streamed)
        call.ledger = ledger
        if ledger is None and provider is not None:
            call.found_provider(provider)
        loop = asyncio._get_running_loop()
        if loop is not None:
            call.task = id(loop), id(asyncio.current_task(loop))
        context = self._entry_context()
        if context:
            try:
                self.observer.call_began(call, context)
            except Exception as error:
                self.observer.failures.caught("observer.call_began", error)
        return call

    def begin_request(self, operation: str, provider: str | None) -> CountedCall:
        """Return a new call that is one request. It starts and ends with the lease."""
        call = self.begin(HTTP, operation, provider)
        call.found_provider(provider)
        call.stage = REQUESTING
        call.resting = FINISHING
        call.ends_with_requests = True
        return call

    def look(self) -> None:
        """Record since when the application has been waiting for the next item of each stream.

        Reading an item does not read the clock, so this runs once a second and at collections.
        """
        now = self.clock()
        for call in snapshot_of(self.live.keys):
            stream, ledger = call.stream, call.ledger
            if stream is None or ledger is None:
                continue
            waiting, steps = stream.waiting, stream.steps
            if waiting and steps == call.seen_steps and call.waiting_since:
                continue
            if call.waiting_since:
                ledger.answered(True, now - call.waiting_since, now)
            call.gap = call.gap_until(now)
            call.seen_steps = steps
            call.waiting_since = now if waiting else 0

    def item_wait(self, call: CountedCall, now: int) -> tuple[int, bool]:
        """Return for how long the application has waited for an item, and if that is unusual."""
        ledger, since = call.ledger, call.waiting_since
        if ledger is None or call.stream is None or not since:
            return 0, False
        return now - since, now - since >= ledger.silent_after(True, self._threshold, now)

    def state(self) -> list[CallsNow]:
        """Return the calls of each ledger, all at one moment."""
        self.look()
        # Read before the calls in flight. A call that ends meanwhile is then missing from the sum;
        # in the other order it would count twice.
        found = {ledger: CallsNow(ledger) for ledger in snapshot_of(self.ledgers.known.values)}
        live = snapshot_of(self.live.keys)
        # No Python code runs while the states are read, as in `read_states`.
        read = [*zip(live, map(_state, live), map(tuple, map(_spent, live)), strict=True)]
        now = self.clock()
        for call, (ended, stage, since, retries, in_flight), spent in read:
            of_ledger = found.get(call.ledger) if call.ledger is not None else None
            if ended or of_ledger is None:
                continue
            stay = max(now - since, 0)
            self._add(call, stage, stay, spent, of_ledger, now)
            of_ledger.retries += retries
            of_ledger.unseen += stage == REQUESTING and not in_flight
        return list(found.values())

    def _add(
        self,
        call: CountedCall,
        stage: int,
        stay: int,
        spent: Iterable[int],
        state: CallsNow,
        now: int,
    ) -> None:
        for each, time in enumerate(spent):
            state.spent[each] += time
        state.spent[stage] += stay
        state.count[stage] += 1
        state.ages[class_of(now - call.began_at)] += 1
        state.oldest[stage] = max(state.oldest[stage], stay)
        waiting_since, streamed = call.waiting_since, call.streamed
        if call.stream is not None:
            stay = now - waiting_since if waiting_since else 0
            state.silence = max(state.silence, stay)
        if (
            stage == REQUESTING
            and streamed is not None
            and stay >= state.ledger.silent_after(streamed, self._threshold, now)
        ):
            state.silent += 1

    def end_all(self) -> None:
        """End all calls. Their time so far is counted, but no outcome."""
        for call in snapshot_of(self.live.keys):
            call.end(None)

    def discard(self) -> None:
        """Discard all calls in a forked child: they belong to the parent."""
        for call in snapshot_of(self.live.keys):
            call.ended_at = self.clock()
        self.live.clear()

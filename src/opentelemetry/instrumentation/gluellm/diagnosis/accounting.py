"""Diagnosis by accounting: is anything wrong, where did it go, and which finding explains it.

Every second of a call is in one stage or phase, and every call has one outcome. So whatever the
cause, it shows here, also if no rule knows it. Calls of one provider and library are compared with
the time before; where no calls are known, the requests of a pool name are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import thresholds
from ..pool.ledger import served
from ..text import call_site_text, counted, one_line, percent, period_text, seconds
from ..watch.account import Item, Subject
from .advice.servers import CONNECT_HELP, SET_UP_HELP
from .findings import Finding, Kind, Severity
from .parts import CallsSnapshot, RequestSnapshot
from .snapshot import Snapshot
from .windows import Window, Windows

_PROVIDER = frozenset({"awaiting_response", "reading", "read_timeout", "timeout"})
_QUEUE = frozenset({"queued", "pool_timeout", "timeout"})
_SET_UP = frozenset({"connecting", *SET_UP_HELP})
_NEW_CONNECTION = frozenset({"connecting", "connect", "tls"})
_TIMES_OUT = frozenset({"timeout", "cancelled"})
"""Failures that name no cause: the calls have waited too long, wherever their time went."""
_ALL_TIME = _PROVIDER | _QUEUE | _SET_UP | {"preparing", "finishing", "unread", "stream_queued"}
EXPLAINS: dict[Kind, frozenset[str]] = {
    Kind.LEAK: _QUEUE | {"unread"},
    Kind.HTTP2_STUCK: _QUEUE | {"stream_queued", "protocol_error"},
    Kind.CLIENT_CHURN: _NEW_CONNECTION | {"preparing", "too_many_open_files", "no_local_ports"},
    Kind.WRONG_EVENT_LOOP: frozenset({"RuntimeError", "_OTHER"}),
    Kind.CONNECT_FAILURES: _SET_UP | {*CONNECT_HELP},
    Kind.CHANNEL_NOT_READY: _SET_UP | _QUEUE | {"UNAVAILABLE", "DEADLINE_EXCEEDED"},
    Kind.REUSE_FAILURES: frozenset(
        {"read_error", "write_error", "protocol_error", "connection_error"}
    ),
    Kind.SILENT_CONNECTIONS: _PROVIDER | _QUEUE | {"read_error", "write_error"},
    Kind.GLUELLM_LIMITER: frozenset({"limited"}),
    Kind.BLOCKED_EVENT_LOOP: _ALL_TIME | {"connect_timeout"},
    Kind.SLOW_CONNECTING: _SET_UP | {"connect_timeout"},
    Kind.SLOW_CONSUMER: _QUEUE | {"unread"},
    Kind.SLOW_PROVIDER: _PROVIDER | _QUEUE,
    Kind.POOL_TOO_SMALL: _QUEUE,
    Kind.EXECUTOR_FULL: frozenset({"preparing"}),
    Kind.DESCRIPTORS_NEAR_LIMIT: frozenset({"too_many_open_files"}),
    Kind.ANOMALY: _QUEUE,
    Kind.POOL_SATURATED: _QUEUE,
    Kind.KEEPALIVE_TOO_SHORT: _NEW_CONNECTION,
    Kind.TOO_FEW_KEPT: _NEW_CONNECTION,
    Kind.POOL_TIMEOUT: _QUEUE,
}
"""Parts of the account that a finding of a kind can explain: stages, phases, steps of establishing,
statuses and error types. Kinds that are not here explain none."""

_SLOW_PROVIDER = (
    "Check the provider's status page, and send one request by hand. Compare models and the length "
    "of the answers with the time before."
)
_NEXT = {
    "limited": "Compare GlueLLM's calls per minute with what the provider allows.",
    "preparing": "Look for clients that are built for each call, for a full thread pool, and for "
    "work before the request: py-spy dump shows it.",
    "backoff": "See in the snapshot which errors the requests end in: calls wait to repeat them.",
    "finishing": "Look at what the application does between the answer and the end of the call.",
    "queued": "See in the snapshot who holds the connections, and for how long.",
    "connecting": "Check the route to the provider: resolver, proxy, TLS.",
    "stream_queued": "Compare the requests in flight with the peer's limit on HTTP/2 streams.",
    "unread": "Find out what the application does between the chunks of an answer.",
    "pool_timeout": "See in the snapshot who holds the connections, and for how long.",
    "401": "Check the API key.",
    "403": "Check what the API key may do.",
    "404": "Check the model's name and the base URL.",
    "429": "Compare the requests per minute with the provider's limit: send fewer at a time, or "
    "have the limit raised. Retries add to the load.",
    **dict.fromkeys(("awaiting_response", "reading", "requesting", "read_timeout"), _SLOW_PROVIDER),
    **{step: f"{advice[:1].upper()}{advice[1:]}." for step, (_, advice) in SET_UP_HELP.items()},
}
"""What to look at next, by part of the account."""
_REFUSED = "Log one of the requests and the provider's answer: it refuses the request itself."
_PROVIDER_FAILS = "Check the provider's status page. Until it works again, use another provider."
_EXCEPTION = "Find this error in the application's log: its traceback names the line."
_IN_PLAIN_WORDS = {
    "limited": "GlueLLM's rate limiter",
    "preparing": "the time before a request",
    "finishing": "the time after the last request",
    "queued": "the pool's queue",
    "awaiting_response": "the wait for the head of the answer",
    "reading": "reading the answer",
    "unread": "answers that the application has not read",
    "stream_queued": "the wait for an HTTP/2 stream",
    "backoff": "back-off",
}
_CALLS = "calls"
_MOST_ERRORS = 3
_NOTICED = 0.1
"""Share of a difference from which a part of it is named."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that calls suffer from, beyond its limit."""

    kind: Kind
    severity: Severity
    pools: tuple[str, ...]
    """Name and library of the pools that serve the calls."""
    account: str
    """How much, and where."""
    parts: frozenset[str]
    """Names of the largest part of the account. A finding must explain one of them."""
    part: str
    evidence: str


@dataclass(frozen=True, slots=True)
class _Side:
    """Calls, or requests, in one period."""

    period: float
    own: Counter[Item]
    requests: Counter[Item]
    running: Counter[float]
    """Those in flight, by their time so far; empty for a time that is over."""

    def named(self, what: str, *, of_requests: bool = False) -> Any:
        """Return a Counter of what items with this first word count, by their second word."""
        items = self.requests if of_requests else self.own
        return Counter({item[1]: value for item, value in items.items() if item[0] == what})

    @property
    def results(self) -> Counter[str]:
        """Requests that were not served, by error type or status."""
        found: Counter[str] = Counter()
        for item, count in self.requests.items():
            if item[0] == "left" and not served(item[1], item[2]):  # type: ignore[arg-type]
                found[str(item[2] or item[1])] += int(count)
        return found

    @property
    def outcomes(self) -> Counter[str]:
        calls: Counter[str] = self.named("outcome")
        if calls or self.own is not self.requests:
            return calls
        results, everything = self.results, sum(self.named("left").values())
        cancelled = results.pop("cancelled", 0)
        failed = results.total()
        good = everything - failed - cancelled
        return Counter(succeeded=int(good), cancelled=cancelled, failed=failed)

    @property
    def errors(self) -> Counter[str]:
        errors = self.results if self.own is self.requests else self.named("error")
        if self.own is self.requests:
            errors.pop("cancelled", None)
        return +errors

    @property
    def took(self) -> Counter[float]:
        """Those that ended, by the class of their duration."""
        took: Counter[float] = self.named("took")
        return +took

    @property
    def ended(self) -> int:
        return self.took.total()

    @property
    def times(self) -> Any:
        """Counter of the seconds by stage, the time of requests by phase."""
        stages, phases = self.named("stage"), +self.named("phase", of_requests=True)
        if self.own is self.requests:
            return phases
        requesting, in_phases = stages["requesting"], phases.total()
        if in_phases > 0:
            del stages["requesting"]
            for phase, time in phases.items():
                stages[phase] += requesting * time / in_phases
        return +stages


def troubles(snapshot: Snapshot, compared: Windows) -> list[Trouble]:
    """Return what calls suffer from, the most severe first. At most two of each group of calls."""
    subjects = list(compared.recent.numbers)
    calls = [subject for subject in subjects if subject[0] == _CALLS]
    known = {provider for _, _, provider in calls}
    others = {
        (label, None, None)
        for label, origin, provider in subjects
        if label != _CALLS and origin is not None and provider not in known
    }
    groups = [
        _Group(snapshot, compared, subject, known) for subject in (*calls, *sorted(others, key=str))
    ]
    found = [trouble for group in groups for trouble in group.troubles()]
    severities = list(Severity)
    return sorted(found, key=lambda trouble: severities.index(trouble.severity))


class _Group:
    """Calls to one provider through one library, or requests of a pool name.

    The ``subject`` is that of the calls or of the pool name. Requests to providers in ``known``
    belong to calls.
    """

    def __init__(
        self, snapshot: Snapshot, compared: Windows, subject: Subject, known: set[str | None]
    ) -> None:
        self._snapshot, self._subject, self._known = snapshot, subject, known
        self._of_calls = subject[0] == _CALLS
        self._numbers = compared.recent.numbers
        subjects = [each for each in self._numbers if self._mine(each)]
        self._pools = tuple(sorted({label for label, _, _ in subjects}))
        self._origins = len({origin for _, origin, _ in subjects})
        calls: dict[Subject, CallsSnapshot] = {
            (_CALLS, one.source, one.provider): one for one in snapshot.process.calls
        }
        self._calls = calls.get(subject)
        self._requests = [
            request
            for pool in snapshot.pools
            if pool.label in self._pools
            for request in pool.requests
        ]
        if self._of_calls:
            running = Counter(self._calls.ages if self._calls is not None else ())
            self._to = f"calls to {one_line(subject[2] or 'an unknown provider')}"
        else:
            running = Counter(request.age for request in self._requests)
            self._to = f"requests in {one_line(subject[0])}"
        self._now = self._side(compared.recent, running)
        self._quiet = self._side(compared.quiet, running)
        self._before = None if compared.before is None else self._side(compared.before, Counter())

    def _mine(self, subject: Subject) -> bool:
        label, origin, provider = subject
        if label == _CALLS or origin is None:
            return False
        if self._of_calls:
            return provider == self._subject[2]
        return label == self._subject[0] and provider not in self._known

    def _side(self, window: Window, running: Counter[float]) -> _Side:
        requests: Counter[Item] = Counter()
        for subject, items in window.numbers.items():
            if self._mine(subject):
                requests.update(items)
        own = requests
        if self._of_calls:
            own = window.numbers.get(self._subject, Counter())
        return _Side(window.period, own, requests, running)

    def troubles(self) -> Iterator[Trouble]:
        """Yield at most one trouble of outcomes, and one of times."""
        outcomes = self._failing() or self._cancelled()
        times = self._silent() or self._slow()
        yield from (found for found in (outcomes, times) if found is not None)
        if not outcomes and not times and (retried := self._retried()) is not None:
            yield retried

    # Is anything wrong?

    def _failing(self) -> Trouble | None:
        for side in (self._now, self._quiet):
            outcomes = side.outcomes
            failed, good = int(outcomes["failed"]), int(outcomes["succeeded"])
            most = failed > thresholds.CALL_QUIET_SHARE * (failed + good)
            if (
                thresholds.calls_fail(failed, good)
                if side is self._now
                else (most and failed >= thresholds.CALL_QUIET_COUNT)
            ):
                break
        else:
            return None
        errors = side.errors.most_common()
        part = errors[0][0] if errors else "_OTHER"
        where = [f"{int(count)} x {one_line(error)}" for error, count in errors[:_MOST_ERRORS]]
        parts = {part, *self._waits(part)}
        text = (
            f"{failed} of {failed + good} {self._to} failed in the last {period_text(side.period)}"
            f"{self._share_before('failed', 'succeeded')}: {', '.join(where) or 'error unknown'}"
            f"{self._largest_origin(side)}{self._amplification(side)}."
        )
        severity = Severity.WARNING if not self._of_calls else Severity.ERROR
        return self._trouble(Kind.CALLS_FAILING, severity, text, parts, part)

    def _cancelled(self) -> Trouble | None:
        for side, least, share in (
            (self._now, thresholds.CALL_ALERT_COUNT, thresholds.CALL_CANCELLED_SHARE),
            (self._quiet, thresholds.CALL_QUIET_COUNT, thresholds.CALL_QUIET_SHARE),
        ):
            cancelled, ended = int(side.outcomes["cancelled"]), side.outcomes.total()
            if cancelled >= least and cancelled > share * ended:
                break
        else:
            return None
        part, where = self._largest()
        text = (
            f"{cancelled} of {int(ended)} {self._to} were cancelled in the last "
            f"{period_text(side.period)}{self._share_before('cancelled')}{where}."
        )
        return self._trouble(
            Kind.CALLS_CANCELLED,
            Severity.WARNING,
            text,
            {"cancelled", *self._waits("cancelled")},
            part,
        )

    def _silent(self) -> Trouble | None:
        calls = self._calls
        if calls is not None:
            silent, of, longest = calls.silent, calls.in_flight, calls.oldest.get("requesting", 0.0)
            longest = max(longest, calls.oldest_silence or 0.0)
        elif not self._of_calls:
            waits = [
                r.phase_age for r in self._requests if r.phase in ("awaiting_response", "reading")
            ]
            origins = [
                o for t in self._snapshot.totals if t.label in self._pools for o in t.origins
            ]
            answered = max((origin.longest_silence_answered for origin in origins), default=0.0)
            after = max(thresholds.CALL_SILENT_FIRST, thresholds.CALL_SILENT_FACTOR * answered)
            silent, of = sum(wait >= after for wait in waits), len(self._requests)
            longest = max(waits, default=0.0)
        else:
            return None
        if (
            silent < thresholds.CALL_SILENT_ALERT_COUNT
            or silent <= thresholds.CALL_SILENT_SHARE * of
        ):
            return None
        phases = Counter(request.phase for request in self._requests)
        part = max(("awaiting_response", "reading"), key=lambda phase: phases[phase])
        text = (
            f"{silent} of {of} {self._to} in flight are silent, the longest for "
            f"{seconds(longest)}, in {_IN_PLAIN_WORDS[part]}."
        )
        parts = {"awaiting_response", "reading"}
        return self._trouble(Kind.CALLS_SILENT, Severity.ERROR, text, parts, part)

    def _slow(self) -> Trouble | None:
        now, before = self._now, self._before
        running = int(now.running.total())
        spent, number = now.times.total(), now.ended + running
        if number < thresholds.CALL_QUIET_COUNT:
            return None
        slow = before is not None and self._slower(before)
        long = self._quiet.times.total() / (self._quiet.ended + running)
        if not slow and long <= thresholds.CALL_SLOW_LIMIT:
            return None
        each = spent / max(now.ended, running)
        half, most = (_quantile(now.took + now.running, share) for share in (0.5, 0.95))
        text = (
            f"{self._to[0].upper()}{self._to[1:]} took "
            f"{seconds(each)} on average in the last {period_text(now.period)}"
            f" (half of them up to about {seconds(half)}, 95% up to {seconds(most)})"
        )
        if slow and before is not None:
            usual = before.times.total() / before.ended
            text += (
                f", {seconds(each - usual)} more than in the {period_text(before.period)} before"
            )
        if running:
            text += f", {running} of them in flight"
        part, where = self._largest()
        text += f"{where}{self._amplification(now)}."
        return self._trouble(Kind.CALLS_SLOW, Severity.WARNING, text, self._refined(part), part)

    def _slower(self, before: _Side) -> bool:
        now = self._now
        if before.ended < thresholds.BASELINE_REQUESTS or before.period <= 0 or now.period <= 0:
            return False
        running = int(now.running.total())
        spent, earlier = now.times.total(), before.times.total()
        usual = earlier / before.ended
        each = spent / max(now.ended, running, 1)
        busy = earlier / before.period * now.period
        limit = _quantile(before.took, 0.95)
        late = sum(count for took, count in (now.took + now.running).items() if took > limit)
        return (
            each > thresholds.CALL_SLOWER * usual
            and each - usual >= thresholds.SLOWER_BY
            and spent >= thresholds.CALL_SLOW_TIME * now.period / 600
            and spent >= thresholds.CALL_SLOW_BUSY * busy
            and thresholds.calls_are_late(late, now.ended + running)
        )

    def _retried(self) -> Trouble | None:
        now = self._now
        retries = int(now.own["retries",])
        requests = int(now.requests["entered",])
        if retries < thresholds.BACKOFF_RETRIES or retries < thresholds.RESENT_MUCH * requests:
            return None
        part = next(iter(now.results), "backoff")
        text = f"{self._to[0].upper()}{self._to[1:]}: {self._amplification(now).removeprefix('; ')}"
        return self._trouble(
            Kind.CALLS_RETRIED,
            Severity.WARNING,
            f"{text} in the last {period_text(now.period)}.",
            {"backoff", part},
            part,
        )

    # Where did it go?

    def _parts(self) -> list[tuple[str, float]]:
        """Return by how many seconds per call each part has grown, the largest first."""
        now, before = self._now, self._before
        number = max(now.ended, int(now.running.total()), 1)
        each: Any = Counter({part: time / number for part, time in now.times.items()})
        if before is not None and before.ended:
            each.subtract({part: time / before.ended for part, time in before.times.items()})
        return list(each.most_common())

    def _largest(self) -> tuple[str, str]:
        """Return the part that has grown most, and text on the largest ones."""
        parts = self._parts()
        if not parts or parts[0][1] <= 0:
            return "", ""
        grown = sum(time for _, time in parts if time > 0)
        texts = [
            f"{seconds(time)} of it in {self._words(part)}"
            for part, time in parts[:2]
            if time >= _NOTICED * grown
        ]
        return self._step(parts[0][0]), f": {', '.join(texts)}"

    def _words(self, part: str) -> str:
        words = _IN_PLAIN_WORDS.get(part, part)
        if part == "backoff" and (result := self._worst()):
            return f"{words} after {result}"
        step = self._step(part)
        return words if step == part else f"{words} ({SET_UP_HELP[step][0]})"

    def _step(self, part: str) -> str:
        """Return the step that has grown most if connecting has, else the part."""
        if part != "connecting":
            return part
        steps = self._now.named("step", of_requests=True)
        if self._before is not None and self._before.period > 0:
            scale = self._now.period / self._before.period
            earlier = self._before.named("step", of_requests=True)
            steps.subtract({step: time * scale for step, time in earlier.items()})
        (step, time), *_ = steps.most_common(1) or [(part, 0.0)]
        return step if time > 0 else part

    def _worst(self) -> str:
        results = self._now.results
        results.pop("cancelled", None)
        return one_line(results.most_common(1)[0][0]) if +results else ""

    def _waits(self, error: str) -> frozenset[str]:
        """Return the parts in which calls waited, if the error only tells that they did."""
        return self._refined(self._largest()[0]) if error in _TIMES_OUT else frozenset()

    def _refined(self, part: str) -> frozenset[str]:
        return frozenset({part, self._worst()} if part == "backoff" else {part}) - {""}

    def _share_before(self, what: str, *beside: str) -> str:
        before = self._before
        if before is None:
            return ""
        outcomes = before.outcomes
        whole = sum(outcomes[one] for one in (what, *beside)) if beside else outcomes.total()
        return (
            f" ({percent(outcomes[what] / whole)} in the {period_text(before.period)} before)"
            if whole > 0
            else ""
        )

    def _largest_origin(self, side: _Side) -> str:
        if self._origins < 2:
            return ""
        failed: Counter[str] = Counter()
        for subject, items in self._numbers.items():
            if self._mine(subject):
                failed[str(subject[1])] += _Side(side.period, items, items, Counter()).outcomes[
                    "failed"
                ]
        return f"; {_over_half(failed)}" if _over_half(failed) else ""

    def _amplification(self, side: _Side) -> str:
        retries, ended = int(side.own["retries",]), side.ended
        requests = int(side.requests["entered",])
        if retries < thresholds.BACKOFF_RETRIES or not ended:
            return ""
        result = self._worst()
        return (
            f"; {counted(ended, 'call')} became {counted(requests, 'request')}, {retries} of them "
            f"sent again{result and f' after {result}'}"
        )

    def _trouble(
        self, kind: Kind, severity: Severity, account: str, parts: Iterable[str], part: str
    ) -> Trouble:
        evidence = _holders(self._requests, part)
        return Trouble(kind, severity, self._pools, account, frozenset(parts), part, evidence)


def _holders(requests: Sequence[RequestSnapshot], part: str) -> str:
    """Return text on the call site and model of more than half of the requests concerned."""
    phase = [request for request in requests if request.phase == part and part != "queued"]
    its = phase or [request for request in requests if request.held is not None]
    what = (
        f"requests in {_IN_PLAIN_WORDS.get(part, part)}"
        if phase
        else "requests that hold connections"
    )
    sites = Counter(call_site_text(r.call_site) if r.call_site else "" for r in its)
    models = Counter(one_line(r.model) if r.model else "" for r in its)
    texts = [text for of in (sites, models) if (text := _over_half(of))]
    return f"Of {len(its)} {what}: {', '.join(texts)}." if texts else ""


def _over_half(numbers: Counter[str]) -> str:
    (name, count), *_ = numbers.most_common(1) or [("", 0)]
    return f"{int(count)} {name}" if name and count > numbers.total() / 2 else ""


# Why?


def explained(found: Sequence[Trouble], findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings, with those first that state what calls suffer from.

    A trouble is the begin of the first finding that can explain its largest part, and of its own
    finding if there is none.
    """
    severities = list(Severity)
    accounts: dict[int, list[Trouble]] = {}
    unexplained = []
    for trouble in found:
        for number, finding in enumerate(findings):
            concerns = finding.pool is None or finding.pool in trouble.pools
            if (
                finding.severity is not Severity.INFO
                and concerns
                and (EXPLAINS.get(finding.kind, frozenset()) & trouble.parts)
            ):
                accounts.setdefault(number, []).append(trouble)
                break
        else:
            unexplained.append(_of(trouble))
    causes = [
        replace(
            findings[number],
            severity=min(
                findings[number].severity, *(t.severity for t in its), key=severities.index
            ),
            observed=" ".join([*(trouble.account for trouble in its), findings[number].observed]),
            evidence=findings[number].evidence or its[0].evidence,
        )
        for number, its in accounts.items()
    ]
    first = sorted([*causes, *unexplained], key=lambda finding: severities.index(finding.severity))
    return first + [finding for n, finding in enumerate(findings) if n not in accounts]


def _of(trouble: Trouble) -> Finding:
    part = trouble.part
    return Finding(
        kind=trouble.kind,
        severity=trouble.severity,
        pool=trouble.pools[0] if len(trouble.pools) == 1 else None,
        observed=trouble.account,
        explanation="This is where the calls fail or spend their time. None of the causes that "
        "this package knows explains it.",
        advice=_advice(part),
        evidence=trouble.evidence,
    )


def _advice(part: str) -> str:
    if part in _NEXT:
        return _NEXT[part]
    if part in CONNECT_HELP:
        return _NEXT["connecting"]
    if part.isdecimal():
        return _PROVIDER_FAILS if part >= "500" else _REFUSED
    return _EXCEPTION


def _quantile(took: Counter[float], share: float) -> float:
    """Return the upper bound of the class that contains a quantile."""
    total, so_far = took.total(), 0
    for bound, count in sorted(took.items()):
        so_far += count
        if so_far >= share * total:
            return bound
    return 0.0

"""Calls and pools as shown by metrics: pure functions from exported metrics to plain values.

The input is any stream of data points with the attributes of the SDK's, so the view is the same for
metrics of this process and for metrics received over OTLP. Temporality must be cumulative.
"""

from __future__ import annotations

import bisect
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from .histogram import Histogram

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData

_NO_TEXTS: Mapping[Any, str] = {}
_RowT = TypeVar("_RowT", bound="CallsView | PoolView")


def _of(
    *metrics: semconv.Metric,
    by: str = "",
    number: str = "value",
    combine: Callable[[Any, Any], Any] = operator.add,
    empty: int | None = 0,
) -> Any:
    """A field that combines a number of all points of ``metrics``, for each value of ``by``.

    ``by`` is an attribute. Without it, the field is one number; ``empty`` without points.
    """
    how = {"metrics": metrics, "by": by, "number": number, "combine": combine}
    return field(default_factory=Counter if by else lambda: empty, metadata=how)


@dataclass(frozen=True, slots=True, order=True)
class PoolKey:
    """Key of a row: all pools of one name on one library."""

    name: str
    library: str

    @property
    def of_channels(self) -> bool:
        """Whether its pools are gRPC channels, which report no connections."""
        return self.library == "grpc"


@dataclass(frozen=True, slots=True, order=True)
class CallKey:
    """Key of a row: calls to one provider through one library."""

    provider: str
    source: str


@dataclass(slots=True)
class CallsView:
    """One row of calls. Counters are totals, or the growth since an earlier view."""

    # State.
    by_stage: Counter[str] = _of(semconv.CALL_CURRENT, by=semconv.CALL_STAGE)
    """Calls in flight by stage."""
    oldest: dict[str, float] = _of(semconv.CALL_OLDEST_AGE, by=semconv.CALL_STAGE, combine=max)
    """Longest time in seconds that a call has been in each stage without leaving it."""
    silent: int = _of(semconv.CALL_SILENT)
    """Calls that have been waiting unusually long for the provider."""
    silence: float = _of(semconv.CALL_SILENCE, combine=max)
    """Longest time in seconds that the application has been waiting for an item of a stream."""
    # Counters.
    seconds_by_stage: Counter[str] = _of(semconv.CALL_TIME, by=semconv.CALL_STAGE)
    outcomes: Counter[str] = _of(semconv.CALLS, by=semconv.CALL_OUTCOME)
    """Calls that ended, by outcome."""
    errors: Counter[str] = _of(semconv.CALL_ERRORS, by=semconv.ERROR_TYPE)
    """Failed calls by ``error.type``."""
    retries: int = _of(semconv.CALL_RETRIES)
    """Requests that a call sent after it had backed off."""

    @property
    def in_flight(self) -> int:
        return sum(self.by_stage.values())

    def share(self, stage: str) -> float:
        """Share of the time of all calls that was spent in this stage, from 0 to 1."""
        return _share(self.seconds_by_stage, stage)


@dataclass(slots=True)
class PoolView:
    """One row. Counters are totals, or the growth since an earlier view."""

    providers: frozenset[str] = frozenset()
    """Providers of its requests."""
    hosts: frozenset[str] = frozenset()
    """Hosts of its requests."""
    # State.
    active: int = 0
    idle: int = 0
    connecting: int = _of(semconv.CONNECTION_CONNECTING)
    maximum: int | None = _of(semconv.CONNECTION_MAX, empty=None)
    """Upper bound on connections; None if there is none."""
    live: int = _of(semconv.POOL_LIVE)
    """Pools alive."""
    channels: Counter[str] = _of(semconv.CHANNEL_CURRENT, by=semconv.CHANNEL_STATE)
    """gRPC channels by state."""
    by_phase: Counter[str] = _of(semconv.REQUEST_CURRENT, by=semconv.REQUEST_PHASE)
    """Requests in flight by phase."""
    oldest: dict[str, float] = _of(
        semconv.REQUEST_OLDEST_AGE, by=semconv.REQUEST_PHASE, combine=max
    )
    """Age in seconds of the oldest request by phase."""
    leaks_suspected: int = _of(semconv.LEAK_SUSPECTED)
    """Connections past the leak threshold."""
    streams_active: int = _of(semconv.STREAM_ACTIVE)
    """HTTP/2 streams in use."""
    streams_max: int = _of(semconv.STREAM_MAX)
    """Sum of the peers' stream limits; 0 without HTTP/2."""
    streams_orphaned: int = _of(semconv.STREAM_ORPHANED)
    """HTTP/2 streams that are taken although their requests have ended."""
    # Counters.
    opened: int = _of(semconv.CONNECTION_OPENED)
    """Connections established."""
    set_ups: int = _of(semconv.CONNECTION_CREATE_DURATION, number="count")
    """Attempts to establish one, including failures."""
    pools_opened: int = _of(semconv.POOL_OPENED)
    seconds_by_phase: Counter[str] = _of(semconv.REQUEST_TIME, by=semconv.REQUEST_PHASE)
    timeouts: Counter[str] = _of(semconv.TIMEOUTS, by=semconv.TIMEOUT_KIND)
    """Timeouts by kind."""
    requests: int = 0
    """Requests that left the pool, with any result."""
    resent: int = 0
    """Requests among them that a call sent after it had backed off."""
    failed: int = 0
    """Requests with an error, an HTTP status of 400 or more, or a gRPC status other than OK."""
    errors: Counter[str] = field(default_factory=Counter)
    """Failed requests by ``error.type``, or by status if the provider answered."""
    acquired: int = 0
    """Requests that got a connection."""
    wait: Histogram = field(default_factory=Histogram)
    """Time queued of all requests, including immediate acquires."""

    @property
    def oldest_waiter(self) -> float:
        """Age in seconds of the oldest queued request."""
        return self.oldest.get("queued", 0.0)

    @property
    def reused(self) -> int:
        """Requests that got an existing connection."""
        return max(0, self.acquired - self.set_ups)

    def share(self, *phases: str) -> float:
        """Share of the time of all requests that was spent in these phases, from 0 to 1."""
        return _share(self.seconds_by_phase, *phases)


Key = CallKey | PoolKey
Row = CallsView | PoolView
Subject = Key | None
"""What a finding is about; None for the whole process."""


class ShownFinding(NamedTuple):
    """A finding that a process reports about itself."""

    severity: str
    kind: str
    text: str = ""
    """Evidence of the finding; empty if no log record of the process has it."""

    @property
    def verdict(self) -> str:
        """Severity, kind and evidence."""
        return ": ".join(filter(None, (self.severity, self.kind.replace("_", " "), self.text)))


def logged_evidence(message: str) -> str:
    """Return the evidence in the log record of a finding: its first line after kind and subject."""
    return message.partition("\n")[0].split(": ", 2)[-1]


def logged_subject(attributes: Mapping[str, Any]) -> Subject:
    """Return what a finding is about, from the attributes of its series or of its log record."""
    if semconv.POOL_NAME in attributes:
        library = str(attributes.get(semconv.POOL_LIBRARY, "?"))
        return PoolKey(str(attributes[semconv.POOL_NAME]), library)
    if semconv.CALL_SOURCE in attributes:
        return CallKey(*(str(attributes.get(key, "unknown")) for key in semconv.LEVEL_CALL))
    return None


_COUNTERS = {
    CallsView: "seconds_by_stage outcomes errors retries".split(),
    PoolView: (
        "opened set_ups pools_opened seconds_by_phase timeouts requests resent failed errors "
        "acquired wait"
    ).split(),
}
"""Fields of counters. The other fields are state."""


def _share(seconds: Mapping[str, float], *parts: str) -> float:
    total = sum(seconds.values())
    spent = sum(seconds.get(part, 0.0) for part in parts)
    return min(max(spent / total, 0.0), 1.0) if total > 0 else 0.0


def _grown(now: _RowT, before: _RowT | None) -> _RowT:
    """The state of a row, with the growth of its counters since ``before``."""
    then = type(now)() if before is None else before
    grown = {n: getattr(now, n) - getattr(then, n) for n in _COUNTERS[type(now)]}
    return replace(now, **grown)


@dataclass(slots=True)
class View:
    """Calls and pools of a process, and what the instrumentation reports about itself."""

    pools: dict[PoolKey, PoolView] = field(default_factory=dict)
    missing_hooks: Counter[str] = _of(semconv.HOOK_MISSING, by=semconv.HOOK_LIBRARY)
    """Number of hooks that the installed version of a library lacks, by library."""
    own_failures: int = _of(semconv.INSTRUMENTATION_ERRORS, semconv.INSTRUMENTATION_DROPPED)
    """Errors of the instrumentation and records that it dropped."""
    judgements: int | None = _of(semconv.FINDING_JUDGED, empty=None)
    """Number of judgements that the process made of itself; None if it makes none."""
    findings: dict[Subject, list[ShownFinding]] = field(default_factory=dict)
    """Findings of these judgements by subject, errors first."""
    over: float | None = None
    """Seconds that the counters cover; None if they count from the start of the process."""
    calls: dict[CallKey, CallsView] = field(default_factory=dict)

    def verdict(self, key: Key) -> str | None:
        """What the process found about calls or a pool; None for nothing."""
        return "; ".join(found.verdict for found in self.findings.get(key, ())) or None

    def rows(self) -> list[tuple[Key, Row]]:
        """Calls, and then pools."""
        return [*self.calls.items(), *self.pools.items()]

    def busy(self) -> View:
        """Only the calls and pools that have or had a call or request."""
        pools = {k: p for k, p in self.pools.items() if p.requests or any(p.by_phase.values())}
        calls = {k: c for k, c in self.calls.items() if c.in_flight or any(c.outcomes.values())}
        return replace(self, pools=pools, calls=calls)

    def since(self, before: View, seconds: float | None = None) -> View:
        """Current state, with the growth of the counters since a view ``seconds`` ago."""
        pools = {key: _grown(now, before.pools.get(key)) for key, now in self.pools.items()}
        calls = {key: _grown(now, before.calls.get(key)) for key, now in self.calls.items()}
        return replace(self, pools=pools, calls=calls, over=seconds)


def read(metrics: MetricsData | None, texts: Mapping[tuple[Subject, str], str] = _NO_TEXTS) -> View:
    """The view of one collection; empty for None. For ``texts`` see `read_points`."""
    points = (
        (metric.name, point)
        for resource in (metrics.resource_metrics if metrics else ())
        for scope in resource.scope_metrics
        if scope.scope.name == semconv.SCOPE_NAME
        for metric in scope.metrics
        for point in metric.data.data_points
    )
    return read_points(points, texts)


def read_points(
    points: Iterable[tuple[str, Any]], texts: Mapping[tuple[Subject, str], str] = _NO_TEXTS
) -> View:
    """The view of data points of this package's scope, each with the name of its metric.

    ``texts`` has the evidence of findings by subject and kind.
    """
    view = View()
    for name, point in points:
        attributes: Mapping[str, Any] = point.attributes or {}
        if name in _FIELDS[View]:
            _add(view, name, attributes, point)
        elif name in _FIELDS[CallsView]:
            level = (str(attributes.get(key, "unknown")) for key in semconv.LEVEL_CALL)
            calls = view.calls.setdefault(CallKey(*level), CallsView())
            _add(calls, name, attributes, point)
        elif name == semconv.FINDING_CURRENT.name:
            if point.value:
                subject, kind = (
                    logged_subject(attributes),
                    str(attributes.get(semconv.FINDING_KIND)),
                )
                severity = str(attributes.get(semconv.FINDING_SEVERITY))
                found = ShownFinding(severity, kind, texts.get((subject, kind), ""))
                bisect.insort(view.findings.setdefault(subject, []), found)
        elif name in METRICS and semconv.POOL_NAME in attributes:
            library = str(attributes.get(semconv.POOL_LIBRARY, "?"))
            key = PoolKey(str(attributes[semconv.POOL_NAME]), library)
            pool = view.pools.setdefault(key, PoolView())
            if semconv.PROVIDER_NAME in attributes:
                pool.providers |= {str(attributes[semconv.PROVIDER_NAME])}
            if semconv.SERVER_ADDRESS in attributes:
                pool.hosts |= {str(attributes[semconv.SERVER_ADDRESS])}
            _add(pool, name, attributes, point)
    view.pools = dict(sorted(view.pools.items()))
    view.calls = dict(sorted(view.calls.items()))
    return view


def _add(
    row: View | CallsView | PoolView, name: str, attributes: Mapping[str, Any], point: Any
) -> None:
    if isinstance(row, PoolView) and name in _SPECIAL:
        _SPECIAL[name](row, attributes, point)
        return
    one = _FIELDS[type(row)][name]
    number, combine = getattr(point, one.metadata["number"]), one.metadata["combine"]
    if by := one.metadata["by"]:
        numbers, key = getattr(row, one.name), str(attributes.get(by, "?"))
        numbers[key] = combine(numbers[key], number)
    else:
        setattr(row, one.name, combine(getattr(row, one.name) or 0, number))


def _add_connections(pool: PoolView, attributes: Mapping[str, Any], point: Any) -> None:
    if attributes.get(semconv.CONNECTION_STATE) == "active":
        pool.active += point.value
    else:
        pool.idle += point.value


def _add_requests(pool: PoolView, attributes: Mapping[str, Any], point: Any) -> None:
    number = point.value
    pool.requests += number
    if semconv.REQUEST_RESEND in attributes:
        pool.resent += number
    status, rpc = (attributes.get(key) for key in (semconv.STATUS_CODE, semconv.RPC_STATUS_CODE))
    refused = str(status).isdecimal() and int(str(status)) >= 400
    error = attributes.get(semconv.ERROR_TYPE) or (status if refused else rpc)
    if error not in (None, "OK"):
        pool.failed += number
        pool.errors[str(error)] += number


def _add_acquires(pool: PoolView, attributes: Mapping[str, Any], point: Any) -> None:
    if semconv.ERROR_TYPE not in attributes:
        pool.acquired += point.count
    bounds = getattr(point, "explicit_bounds", None)
    if bounds is not None:  # exponential histograms, which a view can configure, have none
        histogram = Histogram(tuple(bounds), tuple(point.bucket_counts), point.max, point.sum)
        pool.wait += histogram


_SPECIAL = {
    semconv.OPEN_CONNECTIONS.name: _add_connections,
    semconv.ACQUIRE_DURATION.name: _add_acquires,
    semconv.REQUESTS.name: _add_requests,
}
"""Metrics of several fields."""
_FIELDS = {
    row: {metric.name: one for one in fields(row) for metric in one.metadata.get("metrics", ())}
    for row in (View, CallsView, PoolView)
}
"""Fields of one metric or several, by metric."""
METRICS = frozenset({semconv.FINDING_CURRENT.name, *_SPECIAL}).union(*_FIELDS.values())
"""Names of the metrics that the view is made of."""

"""What the metrics say about each pool: a pure function from exported metrics to plain values.

The input is what any reader or exporter of the SDK hands out, so the same view serves metrics of
this process and metrics that arrive over the network. Cumulative temporality is assumed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from .histogram import Histogram

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData

UNREACHED = (
    semconv.ErrorType.POOL_TIMEOUT,
    semconv.ErrorType.CONNECT_TIMEOUT,
    semconv.ErrorType.NAME_RESOLUTION_ERROR,
    semconv.ErrorType.CONNECTION_ERROR,
    semconv.ErrorType.SECURE_CONNECTION_ERROR,
    semconv.ErrorType.TOO_MANY_OPEN_FILES,
    semconv.ErrorType.NO_LOCAL_PORTS,
)
"""Values of ``error.type`` of requests that never got as far as the provider."""


@dataclass(frozen=True, slots=True, order=True)
class PoolKey:
    """What a row stands for: all pools of one name on one library."""

    name: str
    library: str

    @property
    def of_channels(self) -> bool:
        """Whether its pools are gRPC channels, which tell nothing of their connections."""
        return self.library == "grpc"


@dataclass(slots=True)
class PoolView:
    """One row. State is of now; counters and times are totals, or what came since `since`."""

    providers: frozenset[str] = frozenset()
    """The providers of its requests."""
    # State.
    active: int = 0
    idle: int = 0
    connecting: int = 0
    maximum: int | None = None
    """Upper bound on connections; None when there is none."""
    live: int = 0
    """Pools alive."""
    channels: dict[str, int] = field(default_factory=dict)
    """gRPC channels, by the state that each was last seen in."""
    by_phase: dict[str, int] = field(default_factory=dict)
    """Requests now, by phase."""
    oldest: dict[str, float] = field(default_factory=dict)
    """Seconds that the longest has been there, by phase."""
    leaks_suspected: int = 0
    """Connections over the leak threshold."""
    streams_active: int = 0
    """HTTP/2 streams in use."""
    streams_max: int = 0
    """The peers' limits on them; 0 without HTTP/2."""
    streams_orphaned: int = 0
    """HTTP/2 streams that are taken though their requests are over."""
    # Counters.
    opened: int = 0
    """Connections established."""
    set_ups: int = 0
    """Attempts to establish one, failures included."""
    pools_opened: int = 0
    seconds_by_phase: dict[str, float] = field(default_factory=dict)
    timeouts: dict[str, int] = field(default_factory=dict)
    """By kind."""
    requests: int = 0
    """Requests that left the pool, whatever became of them."""
    failed: int = 0
    """Those with an error, or a status of 400 and above, or one of gRPC's other than OK."""
    errors: dict[str, int] = field(default_factory=dict)
    """By ``error.type``."""
    acquired: int = 0
    """Requests that were given a connection."""
    wait: Histogram = field(default_factory=Histogram)
    """Time queued of all requests, immediate acquires included."""

    @property
    def oldest_waiter(self) -> float:
        """Seconds that the longest waiter has been queued."""
        return self.oldest.get("queued", 0.0)

    @property
    def reused(self) -> int:
        """Requests that were given a connection which was there already."""
        return max(0, self.acquired - self.set_ups)

    @property
    def reached(self) -> int:
        """Requests that got as far as the provider."""
        return self.requests - sum(self.errors.get(error, 0) for error in UNREACHED)

    def share(self, *phases: str) -> float:
        """Share of all requests' time that was spent in these phases, from 0 to 1."""
        total = sum(self.seconds_by_phase.values())
        spent = sum(self.seconds_by_phase.get(phase, 0.0) for phase in phases)
        return min(max(spent / total, 0.0), 1.0) if total > 0 else 0.0

    def since(self, before: PoolView | None) -> PoolView:
        """The state of now with the counters' growth since an earlier view."""
        if before is None:
            return self
        return replace(
            self,
            opened=self.opened - before.opened,
            set_ups=self.set_ups - before.set_ups,
            pools_opened=self.pools_opened - before.pools_opened,
            seconds_by_phase=_grown(self.seconds_by_phase, before.seconds_by_phase),
            timeouts=_grown(self.timeouts, before.timeouts),
            requests=self.requests - before.requests,
            failed=self.failed - before.failed,
            errors=_grown(self.errors, before.errors),
            acquired=self.acquired - before.acquired,
            wait=self.wait.since(before.wait),
        )


@dataclass(slots=True)
class View:
    """All pools, and what the instrumentation says about itself."""

    pools: dict[PoolKey, PoolView] = field(default_factory=dict)
    missing_hooks: Counter[str] = field(default_factory=Counter)
    """Number of hooks that the installed version of a library lacks, by library."""
    own_failures: int = 0
    """The instrumentation's own errors and dropped records."""
    loop_lag: float | None = None
    """Seconds by which an event loop was late at most, of late; None where it is not measured."""
    loop_late: float | None = None
    """Seconds in which an event loop was late; None where that is not measured."""
    over: float | None = None
    """Seconds that the counters cover; None if they count from the start of the process."""

    @property
    def late_share(self) -> float:
        """Share of the time in which an event loop was late; 0 where the time is not known."""
        if not self.loop_late or not self.over:
            return 0.0
        return min(self.loop_late / self.over, 1.0)

    def busy(self) -> View:
        """Only the pools that have or had a request."""
        busy = {k: p for k, p in self.pools.items() if p.requests or any(p.by_phase.values())}
        return replace(self, pools=busy)

    def since(self, before: View, seconds: float | None = None) -> View:
        """Return the current state with the counters' growth since an earlier view, ``seconds``
        ago."""
        pools = {key: pool.since(before.pools.get(key)) for key, pool in self.pools.items()}
        late = self.loop_late
        if late is not None:
            late = max(late - (before.loop_late or 0.0), 0.0)
        return replace(self, pools=pools, loop_late=late, over=seconds)


def read(metrics: MetricsData | None) -> View:
    """The view of one collection; empty without any."""
    return read_points(_points(metrics))


def read_points(points: Iterable[tuple[str, Any]]) -> View:
    """The view of data points of our scope, each with its metric's name."""
    view = View()
    for name, point in points:
        attributes: Mapping[str, Any] = point.attributes or {}
        reader = _PROCESS.get(name)
        if reader is not None:
            reader(view, attributes, point)
            continue
        fill = _POOL.get(name)
        pool_name = attributes.get(semconv.POOL_NAME)
        if fill is None or pool_name is None:
            continue
        key = PoolKey(str(pool_name), str(attributes.get(semconv.POOL_LIBRARY, "?")))
        pool = view.pools.setdefault(key, PoolView())
        provider = attributes.get(semconv.PROVIDER_NAME)
        if provider is not None:
            pool.providers |= {str(provider)}
        fill(pool, attributes, point)
    view.pools = dict(sorted(view.pools.items()))
    return view


def _points(metrics: MetricsData | None) -> Iterator[tuple[str, Any]]:
    for resource in metrics.resource_metrics if metrics else ():
        for scope in resource.scope_metrics:
            if scope.scope.name != semconv.SCOPE_NAME:
                continue
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    yield metric.name, point


def _grown(now: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    return {key: value - before.get(key, 0) for key, value in now.items()}


def _add(counts: dict[str, Any], key: object, value: float) -> None:
    counts[str(key)] = counts.get(str(key), 0) + value


def _adds_to(name: str) -> Callable[[PoolView, Mapping[str, Any], Any], None]:
    def fill(pool: PoolView, _attributes: Mapping[str, Any], point: Any) -> None:
        setattr(pool, name, (getattr(pool, name) or 0) + point.value)

    return fill


def _counts_by(name: str, attribute: str) -> Callable[[PoolView, Mapping[str, Any], Any], None]:
    def fill(pool: PoolView, attributes: Mapping[str, Any], point: Any) -> None:
        _add(getattr(pool, name), attributes.get(attribute, "?"), point.value)

    return fill


def _connections(pool: PoolView, attributes: Mapping[str, Any], point: Any) -> None:
    if attributes.get(semconv.CONNECTION_STATE) == "active":
        pool.active += point.value
    else:
        pool.idle += point.value


def _oldest(pool: PoolView, attributes: Mapping[str, Any], point: Any) -> None:
    phase = str(attributes.get(semconv.REQUEST_PHASE, "?"))
    pool.oldest[phase] = max(pool.oldest.get(phase, 0.0), point.value)


def _requests(pool: PoolView, attributes: Mapping[str, Any], point: Any) -> None:
    pool.requests += point.value
    error = attributes.get(semconv.ERROR_TYPE)
    if error is not None:
        _add(pool.errors, error, point.value)
    answered = int(attributes.get(semconv.STATUS_CODE, 0)) < 400
    if error is not None or not answered or attributes.get(semconv.RPC_STATUS_CODE, "OK") != "OK":
        pool.failed += point.value


def _acquires(pool: PoolView, attributes: Mapping[str, Any], point: Any) -> None:
    if semconv.ERROR_TYPE not in attributes:
        pool.acquired += point.count
    bounds = getattr(point, "explicit_bounds", None)
    if bounds is not None:  # an exponential histogram, as a user's view may make one, has none
        counts = tuple(point.bucket_counts)
        pool.wait = pool.wait.plus(Histogram(tuple(bounds), counts, point.max))


def _set_ups(pool: PoolView, _attributes: Mapping[str, Any], point: Any) -> None:
    pool.set_ups += point.count


def _missing_hooks(view: View, attributes: Mapping[str, Any], point: Any) -> None:
    view.missing_hooks[str(attributes.get(semconv.HOOK_LIBRARY, "?"))] += point.value


def _loop_lag(view: View, _attributes: Mapping[str, Any], point: Any) -> None:
    view.loop_lag = max(view.loop_lag or 0.0, point.value)


def _loop_late(view: View, _attributes: Mapping[str, Any], point: Any) -> None:
    view.loop_late = (view.loop_late or 0.0) + point.value


def _own_failure(view: View, _attributes: Mapping[str, Any], point: Any) -> None:
    view.own_failures += point.value


_POOL = {
    semconv.OPEN_CONNECTIONS.name: _connections,
    semconv.CONNECTION_CONNECTING.name: _adds_to("connecting"),
    semconv.CONNECTION_MAX.name: _adds_to("maximum"),
    semconv.CONNECTION_OPENED.name: _adds_to("opened"),
    semconv.CONNECTION_CREATE_DURATION.name: _set_ups,
    semconv.REQUEST_CURRENT.name: _counts_by("by_phase", semconv.REQUEST_PHASE),
    semconv.REQUEST_OLDEST_AGE.name: _oldest,
    semconv.REQUEST_TIME.name: _counts_by("seconds_by_phase", semconv.REQUEST_PHASE),
    semconv.REQUESTS.name: _requests,
    semconv.ACQUIRE_DURATION.name: _acquires,
    semconv.TIMEOUTS.name: _counts_by("timeouts", semconv.TIMEOUT_KIND),
    semconv.POOL_LIVE.name: _adds_to("live"),
    semconv.CHANNEL_CURRENT.name: _counts_by("channels", semconv.CHANNEL_STATE),
    semconv.POOL_OPENED.name: _adds_to("pools_opened"),
    semconv.LEAK_SUSPECTED.name: _adds_to("leaks_suspected"),
    semconv.STREAM_ACTIVE.name: _adds_to("streams_active"),
    semconv.STREAM_MAX.name: _adds_to("streams_max"),
    semconv.STREAM_ORPHANED.name: _adds_to("streams_orphaned"),
}
_PROCESS = {
    semconv.HOOK_MISSING.name: _missing_hooks,
    semconv.EVENT_LOOP_LAG_PEAK.name: _loop_lag,
    semconv.EVENT_LOOP_LATE_TIME.name: _loop_late,
    semconv.INSTRUMENTATION_ERRORS.name: _own_failure,
    semconv.INSTRUMENTATION_DROPPED.name: _own_failure,
}

METRICS = frozenset((*_POOL, *_PROCESS))
"""Names of the metrics that the view is made of."""
ATTRIBUTES = frozenset(
    (
        semconv.POOL_NAME,
        semconv.POOL_LIBRARY,
        semconv.PROVIDER_NAME,
        semconv.CONNECTION_STATE,
        semconv.CHANNEL_STATE,
        semconv.REQUEST_PHASE,
        semconv.ERROR_TYPE,
        semconv.STATUS_CODE,
        semconv.RPC_STATUS_CODE,
        semconv.TIMEOUT_KIND,
        semconv.HOOK_LIBRARY,
    )
)
"""Keys of the attributes that it tells points apart by."""

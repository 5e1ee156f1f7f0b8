"""Why a metric of the contract is not there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.prometheus import metric_name
from opentelemetry.instrumentation.gluellm.telemetry.semconv import Instrument, Metric

from .naming import Stored


@dataclass(frozen=True, slots=True)
class Missing:
    """One metric that is not there, and why."""

    metric: Metric
    reason: str
    expected: bool
    """Whether that is in order: nothing is wrong, nothing is lost."""


_NO_HTTP2 = "no HTTP/2 connection yet"
_NO_LAG = "switched off: instrument(loop_lag=False)"
_NO_CHANNEL = "no gRPC channel yet"
_UNLIMITED = "no pool has a limit on this"
_BY_ITSELF = {
    semconv.CONNECTION_MAX.name: _UNLIMITED,
    semconv.CONNECTION_IDLE_MAX.name: _UNLIMITED,
    semconv.OCCUPANCY_RATIO.name: "no pool has a limit on its connections",
    semconv.ACQUIRE_TIMEOUT.name: "no pool has a pool timeout",
    semconv.STREAM_ACTIVE.name: _NO_HTTP2,
    semconv.STREAM_MAX.name: _NO_HTTP2,
    semconv.STREAM_ORPHANED.name: _NO_HTTP2,
    semconv.STREAM_ACQUIRE_DURATION.name: _NO_HTTP2,
    semconv.CHANNEL_CURRENT.name: _NO_CHANNEL,
    semconv.CHANNEL_TIME.name: _NO_CHANNEL,
    semconv.OPEN_CONNECTIONS.name: "no connection was established yet",
    semconv.CONNECTION_CREATE_DURATION.name: "no connection was established yet",
    semconv.CONNECTION_CLOSED.name: "no connection was closed yet",
    semconv.POOL_DISCARDED.name: "no pool is gone yet",
    semconv.ACQUIRE_DURATION.name: "no request had a connection yet",
    semconv.LEASE_DURATION.name: "no request is over yet",
    semconv.EVENT_LOOP_LATE_TIME.name: _NO_LAG,
    semconv.EVENT_LOOP_LAG_PEAK.name: _NO_LAG,
    semconv.INSTRUMENTATION_ERRORS.name: "none occurred, which is good",
}
_PROCESS = (
    semconv.EVENT_LOOP_LATE_TIME,
    semconv.EVENT_LOOP_LAG_PEAK,
    semconv.HOOK_MISSING,
    semconv.INSTRUMENTATION_ERRORS,
    semconv.INSTRUMENTATION_DROPPED,
)
_WITH_DELTA = (Instrument.OBSERVABLE_COUNTER, Instrument.HISTOGRAM)
NO_CALL = "no LLM call was seen yet"
DELTA = "counters and histograms never arrive: delta temporality?"
REMOVED = "something removes it on its way: a View, a filter or relabelling"


def missing(found: Iterable[Stored]) -> list[Missing]:
    """The metrics of the contract that are not among those found, in its order."""
    here = [one.metric for one in found]
    return [
        Missing(metric, *_why(metric, here)) for metric in semconv.METRICS if metric not in here
    ]


def _why(metric: Metric, here: list[Metric]) -> tuple[str, bool]:
    if metric.setting:
        return f"off by default: instrument({metric.setting}=True)", True
    if metric.full and not any(one.full for one in here):
        return 'off by default: instrument(metrics="full")', True
    if metric not in _PROCESS and not any(one not in _PROCESS for one in here):
        return NO_CALL, False
    if metric.name == semconv.INSTRUMENTATION_ERRORS.name:
        return _BY_ITSELF[metric.name], True
    if is_delta(here) and metric.instrument in _WITH_DELTA:
        return DELTA, False
    if metric.name in _BY_ITSELF:
        return _BY_ITSELF[metric.name], True
    if metric.full:
        return "nothing of this kind happened yet", True
    return REMOVED, False


def is_delta(here: Iterable[Metric]) -> bool:
    """Whether gauges are there and not one counter or histogram."""
    kinds = {metric.instrument for metric in here}
    return Instrument.OBSERVABLE_GAUGE in kinds and not kinds & set(_WITH_DELTA)


def expected_name(metric: Metric) -> str:
    """The name that boards ask for."""
    return metric_name(metric)

"""What people ask of the pools, as PromQL: each query once, for boards, alerts and ``verify``.

The expressions rest on no label but those of the metrics themselves, so they give the same answer
whichever way the data came. Labels of the resource and of the scope are aggregated away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ...telemetry import semconv
from ...telemetry.prometheus import label_name, metric_name
from ...telemetry.semconv import Metric

_MATCHERS: Final = "%matchers%"
_WINDOW: Final = "%window%"


@dataclass(frozen=True, slots=True)
class Query:
    """One question, and how it is put."""

    question: str
    metrics: tuple[Metric, ...]
    """What the answer rests on."""
    template: str
    """PromQL with two places left open; see `promql`."""
    unit: str = ""
    """Of the answer: ``s``, ``ratio``, ``/s``, ``s/s`` or empty for a plain number.

    Seconds of requests per second say how many requests there are on average.
    """
    on_event: bool = False
    """Whether no answer at all is in order, since the series come with the first event."""
    lowest: bool = False
    """Whether the lowest value is the one to look at, not the highest."""

    def promql(self, matchers: str = "", window: str = "5m") -> str:
        """The query, narrowed by label matchers as ``job="api"``, with its rates over a window.

        A window has to span at least four export intervals.
        """
        return self.template.replace(_MATCHERS, matchers).replace(_WINDOW, window)


def _now(metric: Metric, own: str = "", part: str = "") -> str:
    return f"{metric_name(metric)}{part}{{{own + ',' if own else ''}{_MATCHERS}}}"


def _rate(metric: Metric, own: str = "", part: str = "") -> str:
    return f"rate({_now(metric, own, part)}[{_WINDOW}])"


def _quantile(quantile: float, metric: Metric) -> str:
    return (
        f"histogram_quantile({quantile:g}, sum by (le, {_POOL}) ({_rate(metric, part='_bucket')}))"
    )


_POOL: Final = f"{label_name(semconv.PROVIDER_NAME)}, {label_name(semconv.POOL_NAME)}"
_PHASE: Final = label_name(semconv.REQUEST_PHASE)
_KIND: Final = label_name(semconv.TIMEOUT_KIND)
_ERROR: Final = label_name(semconv.ERROR_TYPE)
_QUEUED: Final = f'{_PHASE}=~"queued|stream_queued"'

QUERIES: Final = (
    Query(
        "How long has the oldest waiter waited?",
        (semconv.REQUEST_OLDEST_AGE,),
        f"max by ({_POOL}) ({_now(semconv.REQUEST_OLDEST_AGE, _QUEUED)})",
        "s",
    ),
    Query(
        "How many requests wait for a connection?",
        (semconv.REQUEST_CURRENT,),
        f"sum by ({_POOL}) ({_now(semconv.REQUEST_CURRENT, _QUEUED)})",
    ),
    Query(
        "How full is the fullest pool?",
        (semconv.OCCUPANCY_RATIO,),
        f"max by ({_POOL}) ({_now(semconv.OCCUPANCY_RATIO)})",
        "ratio",
    ),
    Query(
        "How many connections may there be?",
        (semconv.CONNECTION_MAX,),
        f"sum by ({_POOL}) ({_now(semconv.CONNECTION_MAX)})",
    ),
    Query(
        "How many connections are open?",
        (semconv.OPEN_CONNECTIONS,),
        f"sum by ({_POOL}, {label_name(semconv.CONNECTION_STATE)}) "
        f"({_now(semconv.OPEN_CONNECTIONS)})",
    ),
    Query(
        "In which phase do requests spend their time?",
        (semconv.REQUEST_TIME,),
        f"sum by ({_PHASE}) ({_rate(semconv.REQUEST_TIME)})",
        "s/s",
    ),
    Query(
        "How long do requests wait (p95)?",
        (semconv.ACQUIRE_DURATION,),
        _quantile(0.95, semconv.ACQUIRE_DURATION),
        "s",
    ),
    Query(
        "How long are connections held (p95)?",
        (semconv.LEASE_DURATION,),
        _quantile(0.95, semconv.LEASE_DURATION),
        "s",
    ),
    Query(
        "How many requests, with which status?",
        (semconv.REQUESTS,),
        f"sum by ({_POOL}, {label_name(semconv.STATUS_CODE)}, {_ERROR}) "
        f"({_rate(semconv.REQUESTS)})",
        "/s",
    ),
    Query(
        "Which share of requests ends in a pool timeout?",
        (semconv.TIMEOUTS, semconv.ACQUIRE_DURATION),
        f"""sum by ({_POOL}) ({_rate(semconv.TIMEOUTS, f'{_KIND}="pool"')}) / """
        f"sum by ({_POOL}) ({_rate(semconv.ACQUIRE_DURATION, part='_count')})",
        "ratio",
    ),
    Query(
        "How many connections are suspected to leak?",
        (semconv.LEAK_SUSPECTED,),
        f"sum by ({_POOL}) ({_now(semconv.LEAK_SUSPECTED)})",
    ),
    Query(
        "How many connections are opened?",
        (semconv.CONNECTION_OPENED,),
        f"sum by ({_POOL}) ({_rate(semconv.CONNECTION_OPENED)})",
        "/s",
    ),
    Query(
        "How many connections fail to open?",
        (semconv.CONNECTION_CREATE_DURATION,),
        f"""sum by ({_POOL}) ({
            _rate(semconv.CONNECTION_CREATE_DURATION, f'{_ERROR}!=""', "_count")
        }) or 0 * sum by ({_POOL}) ({_rate(semconv.CONNECTION_CREATE_DURATION, part="_count")})""",
        "/s",
    ),
    Query(
        "How many requests fail on a reused connection?",
        (semconv.REUSE_FAILURES,),
        f"sum by ({_POOL}) ({_rate(semconv.REUSE_FAILURES)})",
        "/s",
    ),
    Query(
        "How many pools are opened (client churn)?",
        (semconv.POOL_OPENED,),
        f"sum by ({_POOL}) ({_rate(semconv.POOL_OPENED)})",
        "/s",
    ),
    Query(
        "How many HTTP/2 streams are orphaned?",
        (semconv.STREAM_ORPHANED,),
        f"sum by ({_POOL}) ({_now(semconv.STREAM_ORPHANED)})",
        on_event=True,
    ),
    Query(
        "How many anomalies were seen?",
        (semconv.ANOMALIES,),
        f"sum by ({_POOL}, {label_name(semconv.ANOMALY_TYPE)}) ({_rate(semconv.ANOMALIES)})",
        "/s",
    ),
    Query(
        "How late are event loops?",
        (semconv.EVENT_LOOP_LAG_PEAK,),
        f"max({_now(semconv.EVENT_LOOP_LAG_PEAK)})",
        "s",
    ),
    Query(
        "Does each signal work (1) or not (0)?",
        (semconv.SEAM,),
        f"min by ({label_name(semconv.POOL_LIBRARY)}, {label_name(semconv.SEAM_NAME)}) "
        f"({_now(semconv.SEAM)})",
        lowest=True,
    ),
    Query(
        "How many records were lost?",
        (semconv.INSTRUMENTATION_DROPPED,),
        f"sum({_rate(semconv.INSTRUMENTATION_DROPPED)})",
        "/s",
    ),
)
"""The essential ones."""

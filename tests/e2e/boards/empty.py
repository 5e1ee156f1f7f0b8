"""Queries that may be empty, and until which act. All others have data from the first act on."""

import re
from collections.abc import Sequence
from typing import Final

from gluellm_pools.demo.acts import SCENARIOS
from gluellm_pools.prometheus import metric_name
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import METRICS, Metric

from .playing import READER, VICTORIA_METRICS, Way

_WITH_HTTP2: Final = ("http2-stuck", "comes with the first HTTP/2 connection")
_WITH_A_CLOSE: Final = ("leak", "comes with the first connection that is closed, behind churn")
NEVER: Final = {
    semconv.CONNECTION_TLS_DURATION: "the demo's providers have no TLS",
    semconv.DNS_LOOKUP_DURATION: "the demo's providers are addresses",
    semconv.CONNECTION_SILENT: "no connection of the demo is silent for 10 s",
    semconv.CHANNEL_CURRENT: "gRPC's, and no SDK of the demo is on it",
    semconv.CHANNEL_TIME: "gRPC's, and no SDK of the demo is on it",
    semconv.INSTRUMENTATION_ERRORS: "comes with the instrumentation's first failure: none here",
}
"""Metrics that the demo does not produce, and why."""
FROM: Final = {
    semconv.CALL_ERRORS: ("saturated", "comes with the first call that fails"),
    semconv.FINDING_CURRENT: (
        "leak",
        "comes with the first finding, up to a minute behind its cause",
    ),
    semconv.CONNECTION_CLOSED: _WITH_A_CLOSE,
    semconv.CONNECTION_DURATION: _WITH_A_CLOSE,
    semconv.CONNECTION_REQUESTS: _WITH_A_CLOSE,
    semconv.REQUEST_TIME_IN_QUEUE: ("saturated", "comes with the first request that waits"),
    semconv.STREAM_ACQUIRE_DURATION: _WITH_HTTP2,
    semconv.STREAM_ACTIVE: _WITH_HTTP2,
    semconv.STREAM_MAX: _WITH_HTTP2,
    semconv.STREAM_ORPHANED: _WITH_HTTP2,
}
"""Metrics that begin with an event: the latest act in which it happens, and the event."""
_EMPTY_QUANTILE: Final = "a quantile of no data is empty there; in Prometheus, it is NaN"
ONLY: Final = {
    (VICTORIA_METRICS, semconv.CONNECTION_CREATE_DURATION): ("churn", _EMPTY_QUANTILE),
    (VICTORIA_METRICS, semconv.CONNECTION_DURATION): ("leak", _EMPTY_QUANTILE),
    (VICTORIA_METRICS, semconv.CONNECTION_REQUESTS): ("leak", _EMPTY_QUANTILE),
    (VICTORIA_METRICS, semconv.REQUEST_TIME_IN_QUEUE): ("saturated", _EMPTY_QUANTILE),
    (VICTORIA_METRICS, semconv.STREAM_ACQUIRE_DURATION): ("http2-stuck", _EMPTY_QUANTILE),
}
"""Ingestion paths and metrics with data in one act only, and why."""
UNSHOWN: Final = {
    "rpc_response_status_code": "gRPC's",
    "host_name": "comes with the resource detector, which the demo does not use",
    "k8s_pod_name": "comes with Kubernetes",
    "process_pid": "comes with the resource detector, which the demo does not use",
    "gluellm_instrumentation_kind": "comes with the instrumentation's first failure",
}
"""Labels of legends that no series of the demo has, and why."""
LACKS: Final = {READER: {"k8s_cluster_name", "k8s_namespace_name", "service_version"}}
"""Resource labels that an ingestion path does not store."""

BEFORE: Final = "offset 1h"
"""Part of queries about the hour before the demo, which have no data."""

_NAMES: Final = {metric_name(metric): metric for metric in METRICS} | {
    # Names of recorded series.
    metric_name(metric).removesuffix("_total"): metric
    for metric in METRICS
}
_SUFFIX: Final = re.compile(r"_(?:bucket|sum|count)$")
_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def metrics_of(expression: str) -> list[Metric]:
    """Return the package's metrics that an expression queries directly."""
    words = _NAME.findall(expression)
    names = [_NAMES.get(word) or _NAMES.get(_SUFFIX.sub("", word)) for word in words]
    return list(dict.fromkeys(metric for metric in names if metric is not None))


def acts_with_data(expression: str, way: Way) -> Sequence[str]:
    """Return the acts in which the query must have data."""
    if BEFORE in expression:
        return ()
    metrics = metrics_of(expression)
    if any(metric in NEVER for metric in metrics):
        return ()
    acts = list(SCENARIOS)
    for metric in metrics:
        if (way.name, metric) in ONLY:
            return (ONLY[way.name, metric][0],)
        if metric in FROM:
            acts = acts[max(acts.index(FROM[metric][0]), 0) :]
    return acts

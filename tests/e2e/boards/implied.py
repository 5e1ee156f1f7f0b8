"""Values that the boards must show in each act of the demo."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gluellm_dashboards.panels import Line
from gluellm_dashboards.signals import (
    calls,
    connections,
    fleet,
    paging,
    pools,
    process,
    requests,
    sizing,
    streams,
    waiting,
)
from gluellm_dashboards.signals.signal import Signal
from gluellm_pools.demo.acts import SCENARIOS
from gluellm_pools.demo.targets import CONNECTIONS, MAX_STREAMS
from opentelemetry.instrumentation.gluellm.thresholds import LATE_SHARE

OPENAI, ANTHROPIC, HTTP2 = "openai", "anthropic", "openai-http2"
_LEAKED: Final = CONNECTIONS["openai"]
_THRESHOLD: Final = 2.0
"""Seconds after which the demo suspects a leak."""

Values = list[float]


def highest(values: Values) -> float:
    """Return the highest value of an act."""
    return max(values, default=-math.inf)


def lowest(values: Values) -> float:
    """Return the lowest value of an act."""
    return min(values, default=math.inf)


def last(values: Values) -> float:
    """Return the value at an act's end, when rates cover nothing but this act."""
    return values[-1] if values else math.nan


def middle(values: Values) -> float:
    """Return the median value of an act."""
    return sorted(values)[len(values) // 2] if values else math.nan


@dataclass(frozen=True, slots=True)
class Implied:
    """A value that one act must show."""

    act: str
    signal: Signal
    of: Callable[[Values], float]
    at_least: float = -math.inf
    at_most: float = math.inf
    pool: str = ""
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def expression(self) -> str:
        """Query of the boards for this signal."""
        return Line(self.signal).expression()

    def __str__(self) -> str:
        labels = "".join(f" {value}" for value in self.labels.values())
        return f"{self.act}: {self.signal.name}{labels} {self.pool}".strip()


_UNREAD: Final = {"gluellm_request_phase": "unread"}
_STREAM_QUEUED: Final = {"gluellm_request_phase": "stream_queued"}
_POOL_TIMEOUT: Final = {"gluellm_timeout_kind": "pool"}
_READ: Final = {"gluellm_timeout_kind": "read"}
_NOT_CONNECTED: Final = {"error_type": "connection_error"}
_REFUSED: Final = {"error_type": "protocol_error"}
_READ_TIMEOUT: Final = {"error_type": "read_timeout"}

IMPLIED: Final = (
    # Healthy: no request waits, none fails, and the provider takes most of the time.
    Implied("healthy", paging.CALLS_FAILED, highest, at_most=0),
    Implied("healthy", calls.SILENT, highest, at_most=0),
    Implied("healthy", calls.CALLS, highest, at_least=0.5),
    Implied("healthy", waiting.QUEUED_NOW, middle, at_most=0),
    Implied("healthy", waiting.WAIT_P50, lowest, at_most=1e-9),  # of a native histogram
    Implied("healthy", waiting.TIMEOUTS, highest, at_most=0),
    Implied("healthy", connections.CONNECT_FAILURES, highest, at_most=0),
    Implied("healthy", connections.REUSE_FAILURES, highest, at_most=0),
    Implied("healthy", pools.LEAKS_SUSPECTED, highest, at_most=0),
    Implied("healthy", process.BLIND, highest, at_most=0),
    Implied("healthy", process.RECORDS_DROPPED, highest, at_most=0),
    Implied("healthy", requests.SHARE_OF_PROVIDER, highest, at_least=0.6),
    Implied("healthy", connections.REUSE_SHARE, highest, at_least=0.8),
    Implied("healthy", connections.LIMIT, last, at_least=4, at_most=4, pool=ANTHROPIC),
    # Too many callers: they queue and time out. Little's law recommends a larger pool.
    Implied("saturated", waiting.QUEUED_NOW, highest, at_least=3, pool=OPENAI),
    Implied("saturated", waiting.WAIT_P95, highest, at_least=0.1, pool=OPENAI),
    Implied("saturated", waiting.OLDEST_WAITER, highest, at_least=0.05, pool=OPENAI),
    Implied("saturated", waiting.TIMEOUTS, highest, 0.1, pool=OPENAI, labels=_POOL_TIMEOUT),
    Implied("saturated", requests.SHARE_OF_POOL, highest, at_least=0.5),
    Implied("saturated", requests.SHARE_OF_PROVIDER, lowest, at_most=0.5),
    Implied("saturated", connections.OCCUPANCY, highest, at_least=1, pool=OPENAI),
    Implied("saturated", connections.PEAK_ACTIVE, highest, at_least=4, pool=OPENAI),
    Implied("saturated", sizing.SIZE, highest, at_least=5, pool=OPENAI),
    # A slow provider: it takes most of the time, no request queues, and each takes longer.
    Implied("slow", requests.SHARE_OF_PROVIDER, highest, at_least=0.8),
    Implied("slow", requests.SHARE_OF_POOL, lowest, at_most=0.2),
    Implied("slow", requests.TIME_AT_PROVIDER, highest, at_least=0.4, pool=OPENAI),
    Implied("slow", requests.LEASE_P95, highest, at_least=0.4, pool=ANTHROPIC),
    # A client per call: as many pools and connections as calls.
    Implied("churn", pools.OPENED, highest, at_least=1, pool=OPENAI),
    Implied("churn", pools.OPENED, last, at_most=0, pool=ANTHROPIC),
    Implied("churn", pools.CHURN, highest, at_least=0.8, pool=OPENAI),
    Implied("churn", connections.REUSE_SHARE, lowest, at_most=0.2, pool=OPENAI),
    Implied("churn", connections.SAVED, lowest, at_most=0.1, pool=OPENAI),
    # Abandoned streams: unread, they hold every connection, and other requests time out.
    Implied("leak", pools.LEAKS_SUSPECTED, highest, at_least=_LEAKED, at_most=_LEAKED, pool=OPENAI),
    Implied("leak", requests.CURRENT_BY_PHASE, highest, _LEAKED, pool=OPENAI, labels=_UNREAD),
    Implied("leak", requests.OLDEST_BY_PHASE, highest, _THRESHOLD, pool=OPENAI, labels=_UNREAD),
    Implied("leak", requests.SHARE_OF_APPLICATION, highest, at_least=0.3),
    Implied("leak", pools.LEAKS_SUSPECTED, highest, at_most=0, pool=ANTHROPIC),
    # HTTP/2 streams that are never released: no stream is left, and calls are refused.
    Implied("http2-stuck", streams.ORPHANED, highest, MAX_STREAMS, at_most=MAX_STREAMS, pool=HTTP2),
    Implied("http2-stuck", streams.MAX, highest, MAX_STREAMS, at_most=MAX_STREAMS, pool=HTTP2),
    Implied(
        "http2-stuck", requests.OLDEST_BY_PHASE, highest, 0.01, pool=HTTP2, labels=_STREAM_QUEUED
    ),
    Implied("http2-stuck", requests.ERRORS, highest, at_least=0.1, pool=HTTP2, labels=_REFUSED),
    # A blocked loop.
    Implied("blocked-loop", process.EVENT_LOOP_LATE, highest, at_least=LATE_SHARE),
    Implied("blocked-loop", process.EVENT_LOOP_LAG, highest, at_least=0.2),
    # One provider does not answer, the other one refuses connections: calls fail.
    Implied("failures", paging.CALLS_FAILED, highest, at_least=0.05),
    Implied("failures", paging.CALL_ERRORS, highest, at_least=1, labels=_NOT_CONNECTED),
    Implied("failures", fleet.CALLS_FAILING, highest, at_least=0.1),
    Implied("failures", waiting.TIMEOUTS, highest, at_least=0.1, pool=OPENAI, labels=_READ),
    Implied("failures", connections.CONNECT_FAILURES, highest, at_least=0.1, pool=ANTHROPIC),
    Implied("failures", connections.CONNECT_FAILURES, highest, at_most=0, pool=OPENAI),
    Implied(
        "failures",
        connections.CONNECT_FAILURES_BY_KIND,
        highest,
        0.1,
        pool=ANTHROPIC,
        labels=_NOT_CONNECTED,
    ),
    Implied("failures", requests.ERRORS, highest, at_least=0.1, pool=OPENAI, labels=_READ_TIMEOUT),
    # A fleet of one instance.
    Implied("healthy", fleet.INSTANCES, last, at_least=1, at_most=1),
    Implied("healthy", fleet.INSTANCES_MISSING_HOOKS, highest, at_most=0),
    Implied("healthy", fleet.LOWEST_LIMIT, last, 4, at_most=4, pool=ANTHROPIC),
    Implied("saturated", fleet.WAITING_INSTANCES, highest, at_least=1, at_most=1),
    Implied("saturated", fleet.OCCUPANCY_MAX, highest, at_least=1),
    # Share of 5 minutes, of which the act lasts only seconds.
    Implied("blocked-loop", fleet.LATE, highest, at_least=0.005),
)

_ACTS: Final = list(SCENARIOS)
_HOLD: Final = {
    "saturated": (("GlueLLMPoolTimeouts", ""), ("GlueLLMCallsFail", "failed")),
}
ALERTS: Final = {
    alert: (act, _ACTS[_ACTS.index(act) - 1]) for act, alerts in _HOLD.items() for alert in alerts
}
"""Alerts, with their kind, whose expression, without ``for``, holds in an act but not in the one
before it.

Alerts of `FINDINGS` hold once the process has judged itself. The others hold in no act: no request
waits for 30 s, and windows of 5 minutes cover all acts.
"""
FINDINGS: Final = {"GlueLLMFindingError", "GlueLLMFindingWarning"}
"""Alerts on what the process finds, which hold in no healthy act."""

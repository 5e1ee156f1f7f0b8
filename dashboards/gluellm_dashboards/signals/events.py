"""Events, shown as annotations of the boards. A query has a result only while its event happens."""

from __future__ import annotations

from ..config import JOB, PROCESS, VERSION
from ..query import POOL, WINDOW
from .signal import before, by_labels, now, signal

_REPORTS = "gluellm.instrumentation.hook.missing"
"""Metric that every process emits from `instrument()` on."""
_MAX = "gluellm.pool.connection.max"
_LIVE = "gluellm.pool.live"
MEMORY = "10m"
"""A process that reported within this time before is not new: a Collector's restart is no start."""

_PROCESSES = by_labels(*PROCESS, VERSION)
_POOLS = by_labels(JOB, *POOL)

STARTED = signal(
    "started",
    "Which processes are new?",
    f"count{by_labels(JOB, VERSION)}(max{_PROCESSES}({now(_REPORTS)}) unless "
    f"max{_PROCESSES}(last_over_time({now(_REPORTS)}[{MEMORY}] offset {WINDOW})))",
    "Processes that did not report before: a deploy, a restart, a new replica.",
    of=[_REPORTS],
    by=(),
    on_event=True,
)
# Sums over sums: a division of each process' series by its own costs far more. Rounded, since the
# quotient of other sums can differ in its last digit.
LIMIT_CHANGED = signal(
    "limit_changed",
    "Which limits changed?",
    f"round(sum{_POOLS}({now(_MAX)}) / (sum{_POOLS}({now(_LIVE)}) > 0), 0.01) != "
    f"round(sum{_POOLS}({before(_MAX)}) / (sum{_POOLS}({before(_LIVE)}) > 0), 0.01)",
    "Limit of a single pool, on average over the processes, while it changes: a deploy "
    "with another limit.",
    of=[_MAX, _LIVE],
    by=(),
    on_event=True,
)

"""Events, shown as annotations of the boards. A query has a result only while its event happens."""

from __future__ import annotations

from ..config import JOB, PROCESS, VERSION
from ..query import POOL, WINDOW
from .signal import by_labels, now, signal

MEMORY = "10m"
"""A process that reported within this time before is not new: a Collector's restart is no start."""
_REPORTS = now("gluellm.instrumentation.hook.missing")
"""Every process emits it from `instrument()` on."""
_MAX, _LIVE = now("gluellm.pool.connection.max"), now("gluellm.pool.live")
_PROCESSES = by_labels(*PROCESS, VERSION)
_POOLS = by_labels(JOB, *POOL)

STARTED = signal(
    "started",
    f"count{by_labels(JOB, VERSION)}(max{_PROCESSES}({_REPORTS}) unless "
    f"max{_PROCESSES}(last_over_time({_REPORTS}[{MEMORY}] offset {WINDOW})))",
    "Processes that did not report before: a deploy, a restart, a new replica.",
)


def _mean(offset: str) -> str:
    # Sums over sums: a division of each process' series by its own costs far more. Rounded, since
    # the quotient of other sums can differ in its last digit.
    of = [f"sum{_POOLS}({one}{offset})" for one in (_MAX, _LIVE)]
    return f"round({of[0]} / ({of[1]} > 0), 0.01)"


LIMIT_CHANGED = signal(
    "limit_changed",
    f"{_mean('')} != {_mean(f' offset {WINDOW}')}",
    "Limit of a single pool, on average over the processes, while it changes: a deploy "
    "with another limit.",
)

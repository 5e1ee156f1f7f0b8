"""The process: its event loops, and whether the instrumentation sees."""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm.thresholds import LATE_SHARE

from ..config import PROCESS
from .signal import by, by_labels, essential, now, rate, signal

_SEAM = "gluellm.instrumentation.seam"
_INSTANCES = {"gluellm.seam": "pool_owner"}
"""A seam that each library has, so that one series tells of a process and a library."""

EVENT_LOOP_LATE = essential(
    "event_loop_late",
    "Share of the time in which timers ran late because something blocked the event loop, of the "
    f"worst process. Above {LATE_SHARE:.0%} waits say nothing about pool or provider, since a "
    "blocked loop makes both look slow. Find the blocking call first.",
)
EVENT_LOOP_LAG = essential(
    "event_loop_lag",
    "Longest recent pause of an event loop. A single pause matters little: look at the share of "
    "late time.",
)
HOOKS = essential(
    "seams",
    "1 where a signal works. 0 where the installed version of the library lacks what it rests on: "
    "what is lost then stands in docs/metrics.md under Seams.",
)
BLIND_SEAMS = signal(
    "blind_seams",
    "How many signals don't work?",
    f"sum{by()}(1 - min{by(_SEAM, 'gluellm.pool.library', 'gluellm.seam')}({now(_SEAM)}))",
    "Signals that the installed version of a library does not give. 0 is healthy. Otherwise panels "
    "may be empty or too low: see which one under the seams.",
    of=[_SEAM],
    by=(),
)
ERRORS = signal(
    "instrumentation_errors",
    "Does the instrumentation itself fail?",
    f"sum{by('gluellm.instrumentation.errors', 'gluellm.instrumentation.kind')}"
    f"({rate('gluellm.instrumentation.errors')})",
    "Its own failures, which were caught: the program is not harmed, numbers may be. Please "
    "report them.",
    of=["gluellm.instrumentation.errors"],
    unit="/s",
    by=(),
    on_event=True,
)
RECORDS_DROPPED = essential(
    "records_dropped",
    "Records of durations that a full buffer had no place for. Counters are not concerned.",
)
INSTANCES = signal(
    "instances",
    "How many processes report, in which version?",
    f"count{by()}(max{by_labels(*PROCESS)}({now(_SEAM, _INSTANCES)}))",
    "Processes that report, from `instrument()` on, whether they called anything yet or not.",
    of=[_SEAM],
    by=(),
)

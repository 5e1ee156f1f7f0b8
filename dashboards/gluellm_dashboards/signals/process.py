"""The process: its event loops, and whether the instrumentation works."""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm.thresholds import LATE_SHARE

from ..config import INSTANCE, JOB, PROCESS
from .signal import by, by_labels, essential, now, rate, signal

_HOOKS = "gluellm.instrumentation.hook.missing"
"""Metric that every process emits from `instrument()` on."""

EVENT_LOOP_LATE = essential(
    "event_loop_late",
    "Share of the time in which timers ran late because an event loop was blocked, for the "
    f"worst process. Above {LATE_SHARE:.0%}, waits say nothing about the pool or the "
    "provider, since a blocked loop makes both look slow. Find the blocking call first.",
)
EVENT_LOOP_LAG = essential(
    "event_loop_lag",
    "Longest recent pause of an event loop. A single pause matters little: look at the share of "
    "late time.",
)
HOOKS_MISSING = essential(
    "hooks_missing",
    "0 when all hooks work. Otherwise the installed version of the library lacks some, and the "
    "metrics that depend on them stop. The program's log names the hooks, and "
    "docs/maintainers/hooks.md lists what is lost without each.",
)
MISSING_HOOKS = signal(
    "missing_hooks",
    "How many hooks are missing?",
    f"sum{by()}(max{by(_HOOKS, 'gluellm.hook.library')}({now(_HOOKS)}))",
    "Hooks that the installed versions of the libraries lack. 0 is healthy. Otherwise panels may "
    "be empty or too low: the table of missing hooks shows which library it is.",
    of=[_HOOKS],
    by=(),
)
ERRORS = signal(
    "instrumentation_errors",
    "Does the instrumentation itself fail?",
    f"sum{by('gluellm.instrumentation.errors', 'gluellm.instrumentation.kind')}"
    f"({rate('gluellm.instrumentation.errors')})",
    "Failures of the instrumentation that were caught. They do not affect the program, but "
    "metrics may be wrong. Please report them.",
    of=["gluellm.instrumentation.errors"],
    unit="/s",
    by=(),
    on_event=True,
)
RECORDS_DROPPED = essential(
    "records_dropped",
    "Records of durations that were dropped because the buffer was full. Counters are not "
    "affected.",
)
INSTANCES = signal(
    "instances",
    "How many processes report, in which version?",
    f"count{by()}(max{by_labels(*PROCESS)}({now(_HOOKS)}))",
    "Processes that report. They do so from `instrument()` on, before the first call.",
    of=[_HOOKS],
    by=(),
)
_FINDING = "gluellm.finding.current"
FINDINGS = signal(
    "findings",
    "How many instances find what?",
    f"count{by(_FINDING, 'gluellm.finding.kind', 'gluellm.finding.severity')}"
    f"({now(_FINDING)} == 1)",
    "Instances whose own diagnosis has this finding now. Their logs have the numbers, the line of "
    'code and what to do. "When calls hang" explains each kind.',
    of=[_FINDING],
    by=(),
    on_event=True,
)
_FOUND = f"count{by_labels(JOB, INSTANCE)}({now(_FINDING)} == 1)"
_ADDRESS = "host_name, k8s_pod_name, process_pid"
FINDINGS_OF_INSTANCE = signal(
    "findings_of_instance",
    "Which instances find something, and where do they run?",
    f"sum%by%({_FOUND} * on (job, instance) group_left ({_ADDRESS}) "
    f"(max by (job, instance, {_ADDRESS}) (target_info)) or on (job, instance) {_FOUND})",
    "Findings of each instance now. Host and PID need the resource detector gluellm. After a fork, "
    "the PID is that of the parent. Run gluellm-pools doctor --instance INSTANCE on the host.",
    of=[_FINDING],
    by=(JOB, INSTANCE),
    on_event=True,
)
JUDGEMENTS = signal(
    "judgements",
    "How often do processes judge themselves?",
    f"sum{by()}(rate({now('gluellm.finding.judged')}[%window%])) * 60",
    "Judgements per minute. 0 while no request is in flight and nothing is found. No data: nothing "
    "is exported, or findings are turned off.",
    of=["gluellm.finding.judged"],
    unit="/min",
    by=(),
    on_event=True,
)

"""The process: what it finds, its event loops, and whether the instrumentation works."""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm.thresholds import LATE_SHARE

from ..config import INSTANCE, JOB, PROCESS
from ..rules import conditions
from .signal import Signal, by, by_labels, essential, now, of, signal, total

_HOOKS = now("gluellm.instrumentation.hook.missing")
"""Every process emits it from `instrument()` on."""

EVENT_LOOP_LATE = essential(
    "event_loop_late",
    "Share of the time in which timers ran late because an event loop was blocked, for the "
    f"worst process. Above {LATE_SHARE:.0%}, waits say nothing about the pool or the "
    "provider, since a blocked loop makes both look slow. Find the blocking call first. Loops of "
    "trio are not seen.",
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
_NOT_JUDGED = " and ".join(
    f"{query.template.replace('%by%', by_labels(*PROCESS))} {condition}"
    for query, condition in ((conditions.JUDGED, "== 0"), (conditions.REQUESTS_IN_FLIGHT, "> 0"))
)
BLIND = signal(
    "blind",
    f"count(max{by_labels(*PROCESS)}({_HOOKS}) > 0 or ({_NOT_JUDGED})) or 0 * count({_HOOKS})",
    "Processes of which something is not seen: the installed version of a library lacks a hook, or "
    "the process has requests in flight and no longer judges itself. Other figures may be too low. "
    "The last row of the board shows which it is.",
)
ERRORS = of(
    "instrumentation_errors",
    "gluellm.instrumentation.errors",
    "Failures of the instrumentation that were caught. They do not affect the program, but "
    "metrics may be wrong. Please report them.",
    "gluellm.instrumentation.kind",
)
RECORDS_DROPPED = essential(
    "records_dropped",
    "Records of durations that were dropped because the buffer was full. Counters are not "
    "affected.",
)
_FINDING = "gluellm.finding.current"
_ACTIVE = f"{now(_FINDING)} == 1"
_BY_KIND = by(_FINDING, "gluellm.finding.kind", "gluellm.finding.severity")
FINDINGS = signal(
    "findings",
    f"count{_BY_KIND}({_ACTIVE})",
    "Instances whose own diagnosis has this finding now. Their logs have the numbers, the line of "
    'code and what to do. "When calls hang" explains each kind.',
)
_BEGAN = f"({_ACTIVE} unless {now(_FINDING)} offset 1m == 1) * 0 + time()"
FINDINGS_FOR = signal(
    "findings_for",
    f"max{_BY_KIND}((time() - max_over_time(({_BEGAN})[6h:1m]) or {now(_FINDING)} * 21600) and "
    f"{_ACTIVE})",
    "Time since the finding began in the first of these instances. 6 hours means 6 hours or more.",
    "s",
)
_FOUND = f"count{by_labels(JOB, INSTANCE)}({_ACTIVE})"
_ADDRESS = "host_name, k8s_pod_name, process_pid"
FINDINGS_OF_INSTANCE = Signal(
    signal(
        "findings_of_instance",
        f"sum%by%({_FOUND} * on (job, instance) group_left ({_ADDRESS}) "
        f"(max by (job, instance, {_ADDRESS}) (target_info)) or on (job, instance) {_FOUND})",
        "",
    ).query,
    "Findings of each instance now. On its host, run `gluellm-pools doctor --instance INSTANCE`. "
    "Host and PID need the resource detector `gluellm`. After a fork, the PID is that of the "
    "parent.",
    recorded=True,
)
JUDGEMENTS = signal(
    "judgements",
    f"{total('gluellm.finding.judged')} * 60",
    "Judgements per minute. 0 while no request is in flight and nothing is found. No data: nothing "
    "is exported, or findings are turned off (`findings=False`).",
    "/min",
)

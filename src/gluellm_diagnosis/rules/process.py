"""Rules: causes that affect the whole process."""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.snapshots.parts import ProcessSnapshot, number_of
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot
from opentelemetry.instrumentation.gluellm.text import (
    call_site_text,
    counted,
    one_line,
    percent,
    period_text,
    seconds,
)

from ..case import PoolCase, ProcessCase
from ..findings import Finding, Kind, Meaning
from ..severity import severity
from .capacity import growth, in_use


def late_share(snapshot: Snapshot, before: Snapshot | None) -> tuple[float, float] | None:
    """Return the share of a period in which a loop was late, and the period; None if unmeasured.

    The larger of two shares: that of the judged period, and that of the last minute if the period
    is longer.
    """
    process = snapshot.process
    late, period = process.event_loop_late, snapshot.uptime
    if late is None:
        return None
    if before is not None:
        late -= before.process.event_loop_late or 0.0
        period -= before.uptime
    share = min(max(late / period, 0.0), 1.0) if period > 0 else 0.0
    if period > thresholds.LATE_WINDOW:
        return max((share, period), (process.event_loop_late_share or 0.0, thresholds.LATE_WINDOW))
    return share, period


def loop_is_blocked(snapshot: Snapshot, before: Snapshot | None) -> bool:
    """Return whether late event loops may explain waits and slowness."""
    return (late_share(snapshot, before) or (0.0,))[0] > thresholds.LATE_SHARE


def waits_beyond_lag(case: PoolCase) -> bool:
    """Return whether a request has waited longer than the worst pause of a loop can explain."""
    waits = [r.phase_age for r in case.requests if r.phase in ("queued", "stream_queued")]
    lag = case.process.event_loop_lag or 0.0
    return max(waits, default=0.0) > thresholds.WAIT_TIMES_LAG * lag


def unread_beyond_lag(case: PoolCase) -> bool:
    """Return whether most connections are unread for longer than pauses of a loop can explain."""
    least = thresholds.WAIT_TIMES_LAG * (case.process.event_loop_lag or 0.0)
    held = [request for request in case.requests if request.held is not None]
    unread = number_of(r for r in held if r.phase == "unread" and r.phase_age > least)
    return 2 * unread > number_of(held)


def lag_explains(case: PoolCase, longer: float, time: float) -> bool:
    """Return whether a late loop can be why something takes ``longer``, of its whole ``time``."""
    process = case.process
    pauses = thresholds.WAIT_TIMES_LAG * (process.event_loop_lag or 0.0)
    late = (process.event_loop_late_share or 0.0) * time
    return case.loop_is_blocked and longer <= max(pauses, late)


_LATE = {
    "blocking_call": Meaning(
        "Something computes or blocks inside the loop, and every request on it stops meanwhile.",
        "Find it with PYTHONASYNCIODEBUG=1 or py-spy dump; move it to a thread or a process.",
    ),
    "cpu_contention": Meaning(
        "Mainly, other processes or threads had the CPU that the loop needed.",
        "Run fewer workers and threads that compute, or get more CPU (Kubernetes: requests.cpu).",
    ),
    "cpu_quota": Meaning(
        "The CPU limit of the container (cgroup quota) stopped the process.",
        "Raise the CPU limit (Kubernetes: resources.limits.cpu, Docker: --cpus), or run less work.",
    ),
    "process_stopped": Meaning(
        "The process was stopped and continued: none of its threads ran or needed the CPU.",
        "Find what stops it: SIGSTOP, docker pause, a frozen cgroup, a debugger, or a virtual "
        "machine that is paused for a backup or a move.",
    ),
    "interpreter_lock": Meaning(
        "Other threads computed in Python, and the loop waited for the interpreter lock.",
        "Move what these threads compute into processes; py-spy dump shows the threads.",
    ),
}
"""For each cause of a late loop, its explanation and advice."""
_AGREEING = 3
"""Least number of checks that found a loop at one line, if the host is short of CPU."""
_SHORT_OF_CPU = " Most of the delay is a wait for the CPU, which other processes or threads have."
_LOCK = (
    " If it waits for a lock there (threading.Lock, RLock), another thread holds the lock: find "
    "out which one (py-spy dump), and hold no lock during a request."
)
_GREENLET_BLOCKS = Meaning(
    "A greenlet computes, or blocks in a call that does not switch to others, such as a database "
    "driver in C. All others stop meanwhile. It is not known which greenlet it is.",
    "Find it with py-spy dump, with GEVENT_MONITOR_THREAD_ENABLE=1 (gevent) or with "
    "eventlet.debug.hub_blocking_detection(True), and call it in a thread "
    "(gevent.get_hub().threadpool, eventlet.tpool).",
)


def _cause_of_lateness(process: ProcessSnapshot, uptime: float) -> tuple[str, str]:
    """Return the cause of most late time of the last minute, and the known causes as text.

    The cause is empty if most of that time is of unknown cause.
    """
    causes = process.event_loop_late_causes
    late = (process.event_loop_late_share or 0.0) * min(uptime, thresholds.LATE_WINDOW)
    if not causes or sum(causes.values()) < late / 2:
        return "", ""
    order = sorted(causes, key=lambda cause: -causes[cause])
    parts = [f"{one_line(cause).replace('_', ' ')} {seconds(causes[cause])}" for cause in order[:2]]
    return order[0], f" Causes in the last minute: {', '.join(parts)}."


def blocked_event_loop(case: ProcessCase) -> Finding | None:
    """Detect an event loop that was late for a large share of the time, or once for long."""
    snapshot, before = case.snapshot, case.before
    clients_churn = any(pool.activity.churned_origins for pool in case.pools)
    lag = snapshot.process.event_loop_lag
    late = late_share(snapshot, before)
    if lag is None or late is None:
        return None
    share, period = late
    cause, by_cause = _cause_of_lateness(snapshot.process, snapshot.uptime)
    sites, stack = snapshot.process.event_loop_busy_at, snapshot.process.event_loop_stack
    site, checks = next(iter(sites.items()), ("", 0))
    # Without CPU, a loop stops at any line. What most samples found computes all the same.
    same = checks >= _AGREEING and 2 * checks > sum(sites.values()) and bool(stack)
    also = _SHORT_OF_CPU if cause == "cpu_contention" and same else ""
    cause = "blocking_call" if also else cause
    what, which = "An event loop with requests in flight", _LATE.get(cause, _LATE["blocking_call"])
    if snapshot.process.greenlets:
        what = "The hub that runs all greenlets (gevent or eventlet)"
        which = which if cause in ("cpu_contention", "cpu_quota") else _GREENLET_BLOCKS
    explanation, advice = f"{which.explanation}{also}", which.advice
    if checks and cause in ("", "blocking_call"):
        inner = f", in {call_site_text(stack[0])}" if stack and stack[0] != site else ""
        keeps = "keeps it busy" if checks >= _AGREEING else "was running in it"
        by_cause = (
            f" Your code at {call_site_text(site)} {keeps} ({checks} of "
            f"{counted(sum(sites.values()), 'stack sample')}{inner}).{by_cause}"
        )
        advice = "Move this code out of the loop: asyncio.to_thread, or a process if it computes."
        if also:
            advice += " Also run fewer workers and threads, or get more CPU."
        elif same and stack[0] == site:
            advice += _LOCK
    if loop_is_blocked(snapshot, before):
        # With churn it is only a WARNING, so that churn, which causes the lag, comes first.
        severe = share >= thresholds.LATE_SHARE_SEVERE and not clients_churn
        how = severity(stuck=severe, slower=True)
        if clients_churn:
            explanation += " Building a client for each call is one cause: it loads certificates."
    elif lag > thresholds.LATE_NOTICED:
        how = severity()
        explanation += " The delay was short, so it is not the cause of long waits or slow answers."
        advice = f"Nothing, if it stays rare. Otherwise: {advice}"
    else:
        return None
    return Finding(
        kind=Kind.BLOCKED_EVENT_LOOP,
        severity=how,
        observed=f"{what} was late for {percent(share)} of the last {period_text(period)}, "
        f"by up to {seconds(lag)}.{by_cause}",
        explanation=explanation,
        advice=advice,
    )


def descriptors_run_out(process: ProcessSnapshot) -> bool:
    """Return whether few file descriptors are left."""
    used, limit = process.open_descriptors, process.descriptor_limit
    return bool(used and limit and used >= thresholds.DESCRIPTORS_NEAR * limit)


def descriptors_near_limit(case: ProcessCase) -> Finding | None:
    """Detect that few file descriptors are left; each connection takes one."""
    process, ours = case.process, sum(len(pool.connections) for pool in case.snapshot.pools)
    if not descriptors_run_out(process):
        return None
    return Finding(
        kind=Kind.DESCRIPTORS_NEAR_LIMIT,
        severity=severity(threatens=True),
        observed=f"{in_use(process, growth(case))}. Connections of the pools take {ours} of them.",
        explanation="At the limit, no connection and no file can be opened (too_many_open_files).",
        advice="If most are connections, limit the pools and keep one client instead of one per "
        f"call. If not, ls -l /proc/{process.pid}/fd shows what is open. Raise the limit with "
        "ulimit -n (LimitNOFILE= in systemd, --ulimit nofile= in Docker).",
    )


def outside_scope(case: ProcessCase) -> Finding | None:
    """Detect that nothing was observed although the process sends requests."""
    requests = case.process.requests_outside_scope
    if case.snapshot.totals or not requests:
        return None
    return Finding(
        kind=Kind.OUTSIDE_SCOPE,
        severity=severity(threatens=True),
        observed="No request went through a pool in the scope, and at least "
        f"{requests} went through others.",
        explanation="Only pools with requests to LLMs, or of instrumented clients, are observed, "
        "so this report does not show the others.",
        advice="Start the program with OTEL_PYTHON_GLUELLM_SCOPE=all, or call "
        'GlueLLMInstrumentor().instrument(scope="all").',
    )


def ignored_variable(case: ProcessCase) -> Finding | None:
    """Detect set variables that look like limits but that no library reads."""
    process, names = case.process, case.process.ignored_variables
    if not names:
        return None
    return Finding(
        kind=Kind.IGNORED_VARIABLE,
        severity=severity(),
        observed=f"{counted(len(names), 'environment variable')} set that no library reads: "
        f"{', '.join(one_line(name) for name in names)}.",
        explanation="Neither httpx nor any SDK reads them. The pools have their clients' limits.",
        advice="configure_pools(apply_httpx_env=True) makes them limits of the clients that "
        "any-llm builds. GlueLLM reads GLUELLM_HTTP_MAX_CONNECTIONS instead."
        if process.any_llm
        else "Pass limits to the client of each SDK: "
        "AsyncOpenAI(http_client=openai.DefaultAsyncHttpxClient(limits=httpx2.Limits("
        "max_connections=N))), or "
        "AsyncAnthropic(http_client=anthropic.DefaultAsyncHttpxClient(limits=httpx.Limits("
        "max_connections=N))). Synchronous clients take a DefaultHttpxClient.",
    )

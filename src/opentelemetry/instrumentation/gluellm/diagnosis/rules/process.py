"""Rules: causes that affect the whole process."""

from __future__ import annotations

from ...text import counted, one_line, percent, seconds
from ...thresholds import (
    DESCRIPTORS_NEAR,
    DESCRIPTORS_SEVERE,
    LATE_NOTICED,
    LATE_SHARE,
    LATE_SHARE_SEVERE,
    LATE_WINDOW,
    WAIT_TIMES_LAG,
)
from ..findings import Finding, Kind, Severity
from ..intervals import PoolCase
from ..parts import ProcessSnapshot
from ..snapshot import Snapshot


def late_share(snapshot: Snapshot, before: Snapshot | None) -> float | None:
    """Return the share of the time in which a loop was late; None if it is not measured.

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
    share = late / period if period > 0 else 0.0
    if period > LATE_WINDOW:
        share = max(share, process.event_loop_late_share or 0.0)
    return min(max(share, 0.0), 1.0)


def loop_is_blocked(snapshot: Snapshot, before: Snapshot | None) -> bool:
    """Return whether late event loops may explain waits and slowness."""
    share = late_share(snapshot, before)
    return share is not None and share > LATE_SHARE


def waits_beyond_lag(case: PoolCase) -> bool:
    """Return whether a request has waited longer than the worst pause of a loop can explain."""
    lag = case.process.event_loop_lag or 0.0
    waits = [
        request.phase_age
        for pool in case.pools
        for request in pool.requests
        if request.phase in ("queued", "stream_queued")
    ]
    return max(waits, default=0.0) > WAIT_TIMES_LAG * lag


def blocked_event_loop(
    snapshot: Snapshot, before: Snapshot | None, *, clients_churn: bool
) -> Finding | None:
    """Detect an event loop that was late for a large share of the time, or once for long."""
    lag = snapshot.process.event_loop_lag
    share = late_share(snapshot, before)
    if lag is None or share is None:
        return None
    if share <= LATE_SHARE:
        if lag <= LATE_NOTICED:
            return None
        return Finding(
            kind=Kind.BLOCKED_EVENT_LOOP,
            severity=Severity.INFO,
            pool=None,
            observed=f"An event loop that holds connections ran up to {seconds(lag)} late, in all "
            "for "
            f"{percent(share)} of the time.",
            explanation="Something blocked the loop for a moment. At or below "
            f"{percent(LATE_SHARE)} of the time, a late loop does not explain long waits or slow "
            "answers.",
            advice="Nothing, if it stays rare. Else find what blocks the loop with asyncio's debug "
            "mode (PYTHONASYNCIODEBUG=1) or py-spy dump.",
        )
    builds = (
        " A client for each call is one cause: it loads the certificates each time."
        if clients_churn
        else ""
    )
    # With churn it is only a WARNING, so that churn, which causes the lag, comes first.
    severe = share >= LATE_SHARE_SEVERE and not clients_churn
    return Finding(
        kind=Kind.BLOCKED_EVENT_LOOP,
        severity=Severity.ERROR if severe else Severity.WARNING,
        pool=None,
        observed=f"An event loop that holds connections was late for {percent(share)} of the "
        "time, by "
        f"up to {seconds(lag)}.",
        explanation="Something computes or blocks inside the loop, and every request on it stands "
        "still "
        "meanwhile. A blocked loop looks like a pool that is too small, a slow provider and a slow "
        f"consumer at once, so no verdict is given on these.{builds}",
        advice="Find it with asyncio's debug mode (PYTHONASYNCIODEBUG=1 logs callbacks over 0.1 s) "
        "or py-spy dump; move it out with asyncio.to_thread(...) or into a process.",
    )


def descriptors_near_limit(process: ProcessSnapshot) -> Finding | None:
    """Detect that few file descriptors are left; each connection takes one."""
    used, limit = process.open_descriptors, process.descriptor_limit
    if used is None or not limit or used < DESCRIPTORS_NEAR * limit:
        return None
    severe = used >= DESCRIPTORS_SEVERE * limit
    return Finding(
        kind=Kind.DESCRIPTORS_NEAR_LIMIT,
        severity=Severity.ERROR if severe else Severity.WARNING,
        pool=None,
        observed=f"{used} of {limit} file descriptors are open ({percent(used / limit)}).",
        explanation="Each connection takes one. At the limit connections fail with "
        "too_many_open_files, "
        "and so does every file and socket of the process.",
        advice="Bound the pools and keep one client instead of one per call; raise the limit with "
        "ulimit -n (LimitNOFILE= in systemd, --ulimit nofile= in Docker).",
    )


def ignored_variable(process: ProcessSnapshot) -> Finding | None:
    """Detect set variables that look like limits but that no library reads."""
    names = process.ignored_variables
    if not names:
        return None
    listed = ", ".join(one_line(name) for name in names)
    gluellms = "GLUELLM_HTTP_MAX_CONNECTIONS and GLUELLM_HTTP_MAX_KEEPALIVE_CONNECTIONS"
    return Finding(
        kind=Kind.IGNORED_VARIABLE,
        severity=Severity.INFO,
        pool=None,
        observed=f"{counted(len(names), 'environment variable')} set that nothing reads: {listed}.",
        explanation="Neither httpx nor any SDK reads them: the pools have their clients' own "
        "limits.",
        advice=(
            f"GlueLLM reads {gluellms}; for other clients configure_pools(apply_httpx_env=True) "
            "makes these variables limits."
            if process.gluellm
            else "configure_pools(apply_httpx_env=True) makes them limits of the clients that "
            f"any-llm builds. Under GlueLLM, {gluellms} are read."
        ),
    )

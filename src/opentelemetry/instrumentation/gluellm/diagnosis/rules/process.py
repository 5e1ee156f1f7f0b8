"""Causes that concern the whole process."""

from __future__ import annotations

from ...pool.words import counted, one_line, percent, seconds
from ...thresholds import (
    DESCRIPTORS_NEAR,
    DESCRIPTORS_SEVERE,
    LATE_LOOP,
    LATE_LOOP_SEVERE,
    LATE_MOMENT_SHARE,
)
from ..findings import Finding, Kind, Severity
from ..snapshot import ProcessSnapshot, Snapshot


def loop_is_blocked(process: ProcessSnapshot) -> bool:
    """Whether waiting and slowness may come from the event loop, and no verdict on them is safe."""
    return process.event_loop_lag is not None and process.event_loop_lag > LATE_LOOP


def blocked_event_loop(
    snapshot: Snapshot, before: Snapshot | None, *, clients_churn: bool
) -> Finding | None:
    """An event loop that didn't run for a while, or again and again."""
    process = snapshot.process
    lag = process.event_loop_lag
    if lag is None or not loop_is_blocked(process):
        return None
    share = _late_share(snapshot, before)
    if share is not None and share < LATE_MOMENT_SHARE:
        return Finding(
            kind=Kind.BLOCKED_EVENT_LOOP,
            severity=Severity.INFO,
            pool=None,
            seen=f"An event loop that holds connections ran up to {seconds(lag)} late, in all for "
            f"{percent(share)} of the time.",
            means="Something blocked the loop for a moment. While that is in the window, nothing "
            "is concluded from times: a blocked loop looks like a slow pool and a slow provider.",
            cure="Look again when the window (peak_window) is over; nothing, if it stays at once.",
        )
    builds = (
        " A client for each call is one cause: it loads the certificates each time."
        if clients_churn
        else ""
    )
    # The churn is then named first: it is a cause, and the lag is what it does.
    severe = lag >= LATE_LOOP_SEVERE and not clients_churn
    return Finding(
        kind=Kind.BLOCKED_EVENT_LOOP,
        severity=Severity.ERROR if severe else Severity.WARNING,
        pool=None,
        seen=f"An event loop that holds connections ran up to {seconds(lag)} late.",
        means="Something computes or blocks inside the loop, and every request on it stands still "
        "meanwhile. A blocked loop looks like a pool that is too small, a slow provider and a slow "
        f"consumer at once, so no verdict is given on these.{builds}",
        cure="Find it with asyncio's debug mode (PYTHONASYNCIODEBUG=1 logs callbacks over 0.1 s) "
        "or py-spy dump; move it out with asyncio.to_thread(...) or into a process.",
    )


def _late_share(snapshot: Snapshot, before: Snapshot | None) -> float | None:
    """Share of the time in which loops were late; None where that is not measured."""
    late, period = snapshot.process.event_loop_late, snapshot.uptime
    if late is None:
        return None
    if before is not None:
        late -= before.process.event_loop_late or 0.0
        period -= before.uptime
    return max(late, 0.0) / period if period > 0 else None


def descriptors_near_limit(process: ProcessSnapshot) -> Finding | None:
    """Few file descriptors are left; each connection takes one."""
    used, limit = process.open_descriptors, process.descriptor_limit
    if used is None or not limit or used < DESCRIPTORS_NEAR * limit:
        return None
    severe = used >= DESCRIPTORS_SEVERE * limit
    return Finding(
        kind=Kind.DESCRIPTORS_NEAR_LIMIT,
        severity=Severity.ERROR if severe else Severity.WARNING,
        pool=None,
        seen=f"{used} of {limit} file descriptors are open ({percent(used / limit)}).",
        means="Each connection takes one. At the limit connections fail with too_many_open_files, "
        "and so does every file and socket of the process.",
        cure="Bound the pools and keep one client instead of one per call; raise the limit with "
        "ulimit -n (LimitNOFILE= in systemd, --ulimit nofile= in Docker).",
    )


def ignored_variable(process: ProcessSnapshot) -> Finding | None:
    """A variable that looks like a limit and is none."""
    names = process.ignored_variables
    if not names:
        return None
    listed = ", ".join(one_line(name) for name in names)
    gluellms = "GLUELLM_HTTP_MAX_CONNECTIONS and GLUELLM_HTTP_MAX_KEEPALIVE_CONNECTIONS"
    return Finding(
        kind=Kind.IGNORED_VARIABLE,
        severity=Severity.INFO,
        pool=None,
        seen=f"{counted(len(names), 'environment variable')} set that nothing reads: {listed}.",
        means="Neither httpx nor any SDK reads them: the pools have their clients' own limits.",
        cure=(
            f"GlueLLM reads {gluellms}; for other clients configure_pools(apply_httpx_env=True) "
            "makes these variables limits."
            if process.gluellm
            else "configure_pools(apply_httpx_env=True) makes them limits of the clients that "
            f"any-llm builds. Under GlueLLM, {gluellms} are read."
        ),
    )

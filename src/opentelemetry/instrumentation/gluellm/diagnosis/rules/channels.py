"""Rule: gRPC channels that are not ready."""

from __future__ import annotations

from ...text import counted, seconds
from ...thresholds import CHANNEL_NOT_READY_FOR as NOT_READY_FOR
from ..findings import Finding, Kind, Severity
from ..intervals import PoolCase

_STATES = ("connecting", "transient_failure")


def channel_not_ready(case: PoolCase) -> Finding | None:
    """Detect channels that have been connecting, or failing to, for a long time."""
    stuck = [
        pool
        for pool in case.pools
        if pool.channel_state in _STATES and (pool.channel_state_age or 0.0) >= NOT_READY_FOR
    ]
    if not stuck:
        return None
    longest = max(stuck, key=lambda pool: pool.channel_state_age or 0.0)
    waiting = sum(1 for pool in stuck for r in pool.requests if r.phase in ("queued", "connecting"))
    what = counted(len(stuck), "channel") + (" is" if len(stuck) == 1 else " are")
    return Finding(
        kind=Kind.CHANNEL_NOT_READY,
        severity=Severity.ERROR if waiting else Severity.WARNING,
        pool=case.label,
        observed=f"{what} not ready, one in {longest.channel_state} for "
        f"{seconds(longest.channel_state_age or 0.0)}; {counted(waiting, 'call')} waiting for it.",
        explanation="gRPC tries to connect again and again, and fails: calls that wait for ready "
        "wait "
        "until their deadline, all others fail at once as UNAVAILABLE.",
        advice="Check the target and its port, the resolver, TLS against plaintext, and the way "
        "there. GRPC_VERBOSITY=debug and GRPC_TRACE=connectivity_state say what each attempt met.",
    )

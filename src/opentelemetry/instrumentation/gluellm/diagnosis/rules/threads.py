"""Rules: SDKs that block, which are limited by the threads they run in, not by their pools."""

from __future__ import annotations

from collections.abc import Sequence

from ... import thresholds
from ...text import counted, percent
from ..advice.own_clients import OwnClient
from ..findings import Finding, Kind, Severity
from ..intervals import PoolCase
from ..parts import ExecutorSnapshot


def executor_full(executor: ExecutorSnapshot, cases: Sequence[PoolCase]) -> Finding | None:
    """Detect an executor whose threads are busy with requests while further calls wait."""
    threads, waiting = executor.threads, executor.waiting
    if not waiting or executor.requests < max(1.0, thresholds.THREADS_BUSY * threads):
        return None
    case = next((case for case in cases if case.label == executor.pools[0]), None)
    wanted = threads + waiting
    own = case is not None and isinstance(case.advisor, OwnClient)
    pool = f". {case.advisor.keep(wanted)}" if case is not None and not _keeps(case, wanted) else ""
    return Finding(
        kind=Kind.EXECUTOR_FULL,
        # As many waiting calls as threads: a new call waits about as long as a call takes.
        severity=Severity.WARNING if waiting >= threads else Severity.INFO,
        pool=executor.pools[0],
        observed=f"{counted(executor.requests, 'request')} in flight in the "
        f"{counted(threads, 'thread')} of an executor, and {counted(waiting, 'call')} waiting for "
        "a thread.",
        explanation=f"The {'client' if own else 'SDK'} blocks, so its calls run in threads: "
        f"{'asyncio.to_thread' if own else 'any-llm'} uses the event loop's default executor, "
        "which has min(32, CPUs + 4). A call that finds no free thread waits before it enters any "
        "pool. No pool's queue shows that, and the pool's own limit is never reached.",
        advice=f"Allow {wanted} threads when the program starts: asyncio.get_running_loop()."
        f"set_default_executor(concurrent.futures.ThreadPoolExecutor({wanted}))"
        f"{', or an executor of your own with as many' if own else ''}{pool}.",
    )


def _keeps(case: PoolCase, wanted: int) -> bool:
    """Return whether all its pools already keep this many connections."""
    kept = [pool.max_idle_connections for pool in case.pools]
    return bool(kept) and all(most is None or most >= wanted for most in kept)


def too_few_kept(case: PoolCase) -> Finding | None:
    """Detect a pool that opens connections without limit but keeps only some of them."""
    kept = min(
        (
            pool.max_idle_connections
            for pool in case.pools
            if pool.max_connections is None and pool.max_idle_connections
        ),
        default=None,
    )
    activity = case.activity
    discarded = activity.connections_closed.get("keepalive_limit", 0)
    share = discarded / max(activity.entered, discarded, 1)
    if (
        kept is None
        or discarded < thresholds.DISCARDED_CONNECTIONS
        or share < thresholds.DISCARDED_SHARE
    ):
        return None
    spent, connecting = activity.time(), activity.time("connecting")
    hurts = spent > 0 and connecting >= thresholds.CONNECTING_HURTS * spent
    cost = f"; {percent(connecting / spent)} of the time went to connecting" if hurts else ""
    peak = max(case.totals.peak_active, kept + 1)
    return Finding(
        kind=Kind.TOO_FEW_KEPT,
        severity=Severity.WARNING if hurts else Severity.INFO,
        pool=case.label,
        observed=f"{discarded} connections were closed after their request ({percent(share)} of "
        f"{counted(activity.entered, 'request')}): the pool keeps {kept}, and had up to {peak} in "
        f"use{cost}.",
        explanation="The pool opens connections without limit, but keeps only some of the idle "
        "ones. It closes the others, and the next burst pays for TCP and TLS again.",
        advice=f"{case.advisor.keep(peak)}.",
    )

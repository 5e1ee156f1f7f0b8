"""Rules: SDKs that block, which are limited by the threads they run in, not by their pools."""

from __future__ import annotations

from collections.abc import Sequence

from ...text import counted, percent
from ...thresholds import (
    CONNECTING_HURTS,
    DISCARDED_CONNECTIONS,
    DISCARDED_SHARE,
    THREADS_BUSY,
)
from ..advice.own_clients import own_client
from ..findings import Finding, Kind, Severity
from ..intervals import PoolCase
from ..parts import ExecutorSnapshot
from ..snapshot import Snapshot
from .advising import advisor


def executor_full(snapshot: Snapshot, cases: Sequence[PoolCase]) -> list[Finding]:
    """Detect executors whose threads are busy with requests while further calls wait."""
    return [
        _executor_full(executor, cases)
        for executor in snapshot.process.executors
        if executor.waiting and executor.requests >= max(1.0, THREADS_BUSY * executor.threads)
    ]


def _executor_full(executor: ExecutorSnapshot, cases: Sequence[PoolCase]) -> Finding:
    threads, waiting = executor.threads, executor.waiting
    label = executor.pools[0]
    case = next((case for case in cases if case.label == label), None)
    wanted = threads + waiting
    own = case is not None and own_client(case.provider, case.library) is not None
    pool = ""
    if case is not None and not _keeps(case, wanted):
        pool = f". {advisor(case).keep(wanted)}"
    return Finding(
        kind=Kind.EXECUTOR_FULL,
        # As many waiting calls as threads: a new call waits about as long as a call takes.
        severity=Severity.WARNING if waiting >= threads else Severity.INFO,
        pool=label,
        observed=f"{counted(executor.requests, 'request')} under way in the "
        f"{counted(threads, 'thread')} of an executor, and {counted(waiting, 'call')} waiting for "
        "a thread.",
        explanation=f"The {'client' if own else 'SDK'} blocks, so its calls run in threads: "
        f"{'asyncio.to_thread' if own else 'any-llm'} takes the event loop's default executor, "
        "which has min(32, CPUs + 4). A call that finds none free waits before it enters any pool. "
        "No pool's queue shows that, and the pool's own limit is never reached.",
        advice=f"Allow {wanted} threads when the program starts: asyncio.get_running_loop()."
        f"set_default_executor(concurrent.futures.ThreadPoolExecutor({wanted}))"
        f"{', or an executor of yours with as many' if own else ''}{pool}.",
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
    if kept is None or discarded < DISCARDED_CONNECTIONS or share < DISCARDED_SHARE:
        return None
    spent = activity.time()
    hurts = spent > 0 and activity.time("connecting") >= CONNECTING_HURTS * spent
    peak = max(case.peak_active, kept + 1)
    return Finding(
        kind=Kind.TOO_FEW_KEPT,
        severity=Severity.WARNING if hurts else Severity.INFO,
        pool=case.label,
        observed=f"{discarded} connections were thrown away after their request ({percent(share)} "
        "of "
        f"{counted(activity.entered, 'request')}): the pool keeps {kept}, and had up to {peak} in "
        "use"
        + (
            f"; {percent(activity.time('connecting') / spent)} of the time went to connecting."
            if hurts
            else "."
        ),
        explanation="The pool has no limit, but keeps only so many idle connections for the next "
        "requests. What comes back beyond that is closed, and the next burst pays for TCP and TLS "
        "anew.",
        advice=f"{advisor(case).keep(peak)}.",
    )

"""Rules: SDKs that block, which are limited by the threads they run in, not by their pools."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.snapshots.parts import CallsSnapshot, ExecutorSnapshot
from opentelemetry.instrumentation.gluellm.text import counted

from ..advice.own_clients import OwnClient
from ..case import PoolCase
from ..findings import Finding, Kind
from ..severity import severity


def executor_full(executor: ExecutorSnapshot, cases: Sequence[PoolCase]) -> Finding | None:
    """Detect an executor whose threads are busy while further calls wait.

    If other work has the threads, it matters once most calls in flight wait for one.
    """
    threads, waiting = executor.threads, executor.waiting
    case = next((case for case in cases if case.label == executor.pools[0]), None)
    other = executor.requests < max(1.0, thresholds.THREADS_BUSY * threads)
    if not waiting or (other and not (case and any(map(_prepares, case.calls)))):
        return None
    wanted = threads + waiting
    own = case is not None and isinstance(case.advisor, OwnClient)
    threads_are = f"{counted(threads, 'thread')} of an executor"
    where = (
        f"{'asyncio.to_thread' if own else 'any-llm'} uses the event loop's default executor, "
        "with min(32, CPUs + 4) threads"
    )
    more = (
        "asyncio.get_running_loop().set_default_executor(concurrent.futures."
        f"ThreadPoolExecutor({wanted})){', or an executor of your own with as many' if own else ''}"
    )
    if executor.anyio:
        threads_are = f"{counted(threads, 'worker thread')} of AnyIO"
        where = "FastAPI and Starlette run plain def endpoints in those of AnyIO, 40 by default"
        more = (
            "anyio.to_thread.current_default_thread_limiter().total_tokens = "
            f"{wanted} in the lifespan handler; or make the endpoints async def and await the "
            "client's async variant"
        )
    kept = [pool.max_idle_connections for pool in case.pools] if case is not None else []
    keep = not kept or any(most is not None and most < wanted for most in kept)
    pool = f". {case.advisor.keep(wanted)}" if case is not None and keep else ""
    why = f"The {'client' if own else 'SDK'} blocks, so its calls run in threads: {where}."
    advice = f"Allow up to {wanted} threads when the program starts: {more}{pool}."
    if other:
        why = "Other work has the other threads."
        advice = f"Give that work an executor of its own. Else: {advice}"
    return Finding(
        kind=Kind.EXECUTOR_FULL,
        # As many waiting calls as threads: a new call waits about as long as a call takes.
        severity=severity(slower=waiting >= threads),
        pool=executor.pools[0],
        observed=f"{counted(executor.requests, 'request')} in flight in the {threads_are}, and "
        f"{counted(waiting, 'call')} waiting for a thread.",
        explanation=f"{why} A call that finds no free thread waits before it enters any pool.",
        advice=advice,
    )


def _prepares(calls: CallsSnapshot) -> bool:
    """Return whether most calls in flight wait noticeably before they send a request."""
    waits = calls.oldest.get("preparing", 0.0) >= thresholds.STUCK_AFTER
    return waits and 2 * calls.now.get("preparing", 0) > calls.in_flight

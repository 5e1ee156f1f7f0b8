"""Verdicts on the numbers of calls and pools, in half a line.

The rules for pools are those of the table of phases in docs/where-40-seconds-go.md. The
numbers lack the single requests, so they cannot separate a young leak from a slow consumer, or a
slow provider from a slow model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.text import counted

from .text import percent, printable, seconds
from .view import CallKey, CallsView, Key, PoolKey, PoolView, Row, View

_PROVIDERS = ("awaiting_response", "reading")
_HOLDING = ("unread", *_PROVIDERS)
_PAUSES = {
    "limited": (thresholds.LIMITED_FOR, thresholds.LIMITED_SHARE, thresholds.LIMITED_CALLS),
    "backoff": (thresholds.BACKOFF_FOR, thresholds.BACKOFF_SHARE, thresholds.BACKOFF_RETRIES),
}
"""Stages that delay calls: a long time, a large share, and the smallest number of occurrences."""


class CallsVerdict(NamedTuple):
    """Verdict on the numbers of calls."""

    text: str
    at_fault: str
    """``the provider``, ``the program``, or empty if the numbers don't show who can act."""


def verdict_text(view: View, key: Key) -> str | None:
    """Return the verdict on calls or a pool, from all numbers of the process."""
    if isinstance(key, PoolKey):
        return verdict(view.pools[key], doubtful=late(view))
    found = calls_verdict(view, key)
    return found and found.text


def calls_verdict(view: View, key: CallKey) -> CallsVerdict | None:
    """Return the verdict; None without a problem. Pauses are not judged while the loop is late."""
    calls = view.calls.get(key) or CallsView()
    of_provider = [pool for pool in view.pools.values() if key.provider in pool.providers]
    # Behind a gateway, the requests of a call are counted under another provider.
    pools = of_provider or list(view.pools.values())
    if _fail(calls):
        return _on_failures(calls)
    if calls.silent:
        return CallsVerdict(_silence_text(calls, pools), "the provider")
    stage = next(filter(partial(_is_long, calls), _PAUSES), None)
    if stage is None or late(view):
        return None
    if now := calls.by_stage[stage]:
        text = f"{counted(now, 'call')} wait{'s' if now == 1 else ''}"
    else:
        text = f"calls wait {percent(calls.share(stage))} of their time"
    if not any(any(pool.by_phase.values()) for pool in pools):
        text = f"the pool is idle: {text}"
    if stage == "limited":
        return CallsVerdict(f"{text} in GlueLLM's rate limiter", "the program")
    error = _main_error(sum((pool.errors for pool in pools), Counter()))
    return CallsVerdict(f"{text} to retry{error and f' after {error}'}", "the provider")


def _fail(calls: CallsView) -> bool:
    return thresholds.calls_fail(calls.outcomes["failed"], calls.outcomes["succeeded"])


def _on_failures(calls: CallsView) -> CallsVerdict:
    text = f"{calls.outcomes['failed']} calls fail"
    error = _main_error(calls.errors)
    if error:
        text += f"{'' if len(+calls.errors) == 1 else ', most'} with {error}"
    text += f", {calls.outcomes['succeeded']} succeed"
    if calls.share("backoff") >= thresholds.BACKOFF_SHARE:
        text += f"; {percent(calls.share('backoff'))} of time in back-off"
    return CallsVerdict(text, "the provider" if error == "429" else "")


def _silence_text(calls: CallsView, pools: Sequence[PoolView]) -> str:
    silent = counted(calls.silent, "silent call")
    unstreamed = calls.oldest.get("requesting", 0.0)
    if calls.silence < thresholds.CALL_SILENT_AFTER <= unstreamed:
        return f"no answer for up to {seconds(unstreamed)} in {silent}"
    # The stream's request has been in its read for less time than the application has waited.
    reading = [age for pool in pools if (age := pool.oldest.get("reading"))]
    pings = reading and max(reading) < calls.silence / 2
    what = "bytes arrive, but no item" if pings else "nothing arrives"
    return f"{what} for up to {seconds(calls.silence)} in {silent}"


def _is_long(calls: CallsView, stage: str) -> bool:
    """Return whether calls spend much time in a stage, now or in the period of the counters."""
    longest, share, count = _PAUSES[stage]
    often = calls.retries if stage == "backoff" else calls.outcomes.total()
    now = calls.by_stage[stage] and calls.oldest.get(stage, 0.0) >= longest
    return bool(now) or (often >= count and calls.share(stage) >= share)


def _main_error(errors: Counter[str]) -> str:
    """Return the error that is more than half of all errors; empty if there is none."""
    (error, count), *_ = errors.most_common(1) or [("", 0)]
    return printable(error, 30) if count > errors.total() / 2 else ""


def severity(row: Row) -> tuple[bool, ...]:
    """Sort key: larger for calls or a pool with larger problems, all False without any.

    Its steps are coarse, so that rows sorted by it keep their positions between exports.
    """
    if isinstance(row, CallsView):
        return _fail(row), row.silent > 0, any(_is_long(row, stage) for stage in _PAUSES)
    return (
        row.leaks_suspected > 0,
        row.streams_orphaned > 0,
        row.timeouts.get("pool", 0) > 0,
        row.oldest_waiter >= thresholds.STUCK_AFTER,
        waits(row),
    )


def late(view: View) -> bool:
    """Whether an event loop was late for so long that times and waits are doubtful."""
    return view.late_share > thresholds.LATE_SHARE


def waits(pool: PoolView) -> bool:
    """Whether requests wait for connections noticeably, now or in the period of the counters."""
    return (
        pool.oldest_waiter >= thresholds.WAIT_NOTICED
        or pool.share("queued") >= thresholds.QUEUED_SHARE
        or pool.timeouts.get("pool", 0) > 0
    )


def verdict(pool: PoolView, *, doubtful: bool = False) -> str | None:
    """What the numbers mean; None if there is no problem.

    With ``doubtful``, as while an event loop is late, times and waits are not judged.
    """
    if pool.leaks_suspected:
        return "leak of unread answers: run gluellm-pools doctor to find the line"
    if pool.streams_orphaned:
        return "HTTP/2 streams of ended requests stay taken: try HTTP/1.1"
    if thresholds.is_churn(pool.pools_opened, pool.requests):
        return "fewer than 3 requests per pool: keep one client for all calls"
    return None if doubtful else _verdict_on_times(pool)


def _verdict_on_times(pool: PoolView) -> str | None:
    longest = max(pool.oldest.get(phase, 0.0) for phase in _PROVIDERS)
    read_timeouts = pool.timeouts.get("read", 0)
    if pool.share("connecting") >= thresholds.CONNECTING_HURTS:
        if pool.channels:
            return "channels are not connected: calls fail or wait"
        if 2 * pool.opened < pool.set_ups:
            return "most attempts to connect fail"
        return "connecting takes long: connections are not reused, or open slowly"
    if _unread(pool):
        if waits(pool) or pool.oldest.get("unread", 0.0) >= thresholds.LONG_ANSWER:
            return "connections held by unread answers: slow consumer or leak"
        return None
    if read_timeouts >= max(
        thresholds.READ_TIMEOUTS, thresholds.READ_TIMEOUT_SHARE * pool.requests
    ):
        return "read timeouts: the provider does not answer in time"
    if longest >= thresholds.LONG_ANSWER:
        return f"no complete answer for {seconds(longest)}: slow provider or slow model"
    if waits(pool) and pool.maximum is not None and pool.active >= pool.maximum:
        if longest >= thresholds.YOUNG_CALL:
            return f"pool full, provider takes {seconds(longest)}: small pool or slow provider"
        return f"pool full, provider takes at most {seconds(longest)}: pool too small"
    return None


def _unread(pool: PoolView) -> bool:
    """Return whether answers are read slowly, or unread ones hold most of the connections now."""
    spent, now = (
        [numbers.get(phase, 0) for phase in _HOLDING]
        for numbers in (pool.seconds_by_phase, pool.by_phase)
    )
    requests = pool.requests + sum(now)
    likely_leak = now[0] > 0 and now[0] >= thresholds.LIKELY_LEAK_SHARE * sum(now)
    return likely_leak or thresholds.consumes_slowly(spent[0], sum(spent), requests)

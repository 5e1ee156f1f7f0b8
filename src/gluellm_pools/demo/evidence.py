"""What the metrics of an act have to show, act by act."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from opentelemetry.instrumentation.gluellm.thresholds import LATE_SHARE, QUEUED_SHARE

from ..text import percent, seconds
from ..view import PoolView
from .targets import ANTHROPIC, HTTP2, OPENAI

_BOTH = (OPENAI, ANTHROPIC)
_MUCH = 0.25
"""Share of time; on a busy machine every phase grows, so it is well below what an idle one has."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the metrics of an act say, and whether that is what its line promised."""

    text: str
    held: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """What the metrics say of an act."""

    pools: Mapping[str, PoolView] = field(default_factory=dict)
    """What each target's pool did during the act, and its state at the end."""
    late_share: float = 0.0
    """Share of the time in which an event loop was late."""

    def of(self, target: str) -> PoolView:
        return self.pools.get(target) or PoolView()


def _p(pool: PoolView, share: float) -> float:
    estimate = pool.wait.quantile(share)
    return estimate.value if estimate else 0.0


def _is_calm(pool: PoolView) -> bool:
    return (
        pool.requests > 0
        and not pool.failed
        and _p(pool, 0.5) == 0
        and pool.share("queued") <= QUEUED_SHARE
    )


def _calm_text(pool: PoolView) -> str:
    return (
        f"queued {percent(pool.share('queued'))} of the time, wait p50 {seconds(_p(pool, 0.5))}, "
        f"{pool.failed} of {pool.requests} failed, {pool.opened} new connections, "
        f"{pool.reused} reused"
    )


def healthy(seen: Seen) -> Evidence:
    both = [seen.of(target) for target in _BOTH]
    parts = [f"{name}: {_calm_text(pool)}" for name, pool in zip(_BOTH, both, strict=True)]
    held = all(_is_calm(pool) and pool.reused > pool.opened for pool in both)
    return Evidence("; ".join(parts), held)


def saturated(seen: Seen) -> Evidence:
    both = [seen.of(target) for target in _BOTH]
    timeouts = seen.of(OPENAI).timeouts.get("pool", 0)
    parts = [
        f"{name}: queued {percent(pool.share('queued'))} of the time, "
        f"wait p95 {seconds(_p(pool, 0.95))}"
        for name, pool in zip(_BOTH, both, strict=True)
    ]
    held = all(pool.share("queued") >= _MUCH and _p(pool, 0.95) >= 0.05 for pool in both)
    return Evidence(f"{'; '.join(parts)}; openai: pool timeouts {timeouts}", held and timeouts > 0)


def slow(seen: Seen) -> Evidence:
    both = [seen.of(target) for target in _BOTH]
    parts = [
        f"{name}: awaiting_response {percent(pool.share('awaiting_response'))}, "
        f"reading {percent(pool.share('reading'))}, queued {percent(pool.share('queued'))}"
        for name, pool in zip(_BOTH, both, strict=True)
    ]
    held = all(
        pool.share("awaiting_response", "reading") >= 0.8 and pool.share("queued") <= QUEUED_SHARE
        for pool in both
    )
    return Evidence("; ".join(parts), held)


def churn(seen: Seen) -> Evidence:
    pool = seen.of(OPENAI)
    return Evidence(
        f"openai: {pool.requests} calls opened {pool.pools_opened} pools and {pool.opened} "
        f"connections, {pool.reused} reused",
        pool.requests > 0
        and pool.pools_opened == pool.requests
        and pool.opened == pool.requests
        and pool.reused == 0,
    )


def leak(seen: Seen) -> Evidence:
    pool = seen.of(OPENAI)
    unread, timeouts = pool.by_phase.get("unread", 0), pool.timeouts.get("pool", 0)
    return Evidence(
        f"openai: leaks suspected {pool.leaks_suspected}, now 'unread' {unread} of "
        f"{pool.maximum or 0} connections, unread {percent(pool.share('unread'))} of the time, "
        f"pool timeouts {timeouts}",
        pool.leaks_suspected > 0 and unread > 0 and timeouts > 0,
    )


def http2_stuck(seen: Seen) -> Evidence:
    pool = seen.of(HTTP2)
    refused = pool.errors.get("protocol_error", 0)
    return Evidence(
        f"openai over HTTP/2: {pool.streams_orphaned} of {pool.streams_max} streams orphaned by "
        f"{pool.errors.get('cancelled', 0)} cancelled requests, "
        f"stream_queued {percent(pool.share('stream_queued'))} of the time, "
        f"then protocol_error {refused}",
        0 < pool.streams_max <= pool.streams_orphaned
        and pool.seconds_by_phase.get("stream_queued", 0.0) > 0
        and refused > 0,
    )


def blocked_loop(seen: Seen) -> Evidence:
    pool = seen.of(ANTHROPIC)
    awaiting = percent(pool.share("awaiting_response"))
    return Evidence(
        f"the event loop was late for {percent(seen.late_share)} of the time, so nothing follows "
        f"from anthropic: wait p95 {seconds(_p(pool, 0.95))}, "
        f"queued {percent(pool.share('queued'))}, awaiting_response {awaiting} of the time",
        seen.late_share > LATE_SHARE and pool.requests > 0,
    )


def failures(seen: Seen) -> Evidence:
    from ..render import counts_text  # needs rich, which `demo --list` does not

    openai, anthropic = seen.of(OPENAI), seen.of(ANTHROPIC)
    refused = anthropic.errors.get("connection_error", 0)
    return Evidence(
        f"openai: timeouts {counts_text(openai.timeouts)}; "
        f"anthropic: connection_error {refused}, new connections {anthropic.opened}",
        openai.timeouts.get("read", 0) > 0 and refused > 0 and anthropic.opened == 0,
    )


def recovery(seen: Seen) -> Evidence:
    openai, anthropic = seen.of(OPENAI), seen.of(ANTHROPIC)
    parts = [f"{OPENAI}: {_calm_text(openai)}", f"{ANTHROPIC}: {_calm_text(anthropic)}"]
    held = anthropic.opened > 0 and all(_is_calm(p) and p.reused for p in (openai, anthropic))
    return Evidence("; ".join(parts), held)

"""The demo's story: what happens in each act, and which number has to show it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..fake_provider import Behaviour
from ..render import counts_text
from ..text import percent, seconds
from ..view import PoolView

OPENAI, ANTHROPIC, GLUELLM = "openai", "anthropic", "gluellm"
TARGETS = (OPENAI, ANTHROPIC, GLUELLM)
_BOTH = (OPENAI, ANTHROPIC)
_HARDLY = 0.1
"""Share of time that counts as hardly any: httpcore 1.0.9 may give one idle connection to two
requests, and the loser queues for a moment though connections are free."""

QUICK = Behaviour(head_delay=0.08, jitter=0.02, tokens=8, token_rate=160)
SLOW = Behaviour(head_delay=0.35, jitter=0.1, tokens=8, token_rate=20)
SILENT = Behaviour(head_delay=math.inf)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Callers of one target: each calls, waits ``pause`` seconds, and calls again."""

    target: str
    callers: int
    pause: float = 0.05
    stream: bool = False
    client_per_call: bool = False
    timeout: float | None = None
    """Seconds that the callers allow for any step; else the client's generous ones."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the metrics of an act say, and whether that is what its line promised."""

    text: str
    held: bool


Pools = Mapping[str, PoolView]
"""What each target's pool did during the act."""


@dataclass(frozen=True, slots=True)
class Act:
    name: str
    line: str
    """What happens, and which number shows it."""
    traffic: tuple[Traffic, ...]
    evidence: Callable[[Pools], Evidence]
    behaviours: Mapping[str, Behaviour]
    """By target; the others are quick."""
    refusing: tuple[str, ...] = ()
    """Targets whose provider refuses connections."""
    discards: bool = False
    """The act leaves pools behind that only the garbage collector finds."""
    longest: float = 0.3
    """Seconds that one request may take, so that the act ends in time."""
    after: str | None = None
    """The act that has to come before this one when it is played alone."""


def _of(pools: Pools, target: str) -> PoolView:
    return pools.get(target) or PoolView()


def _p(pool: PoolView, share: float) -> float:
    estimate = pool.wait.quantile(share)
    return estimate.value if estimate else 0.0


def _is_calm(pool: PoolView) -> bool:
    return (
        pool.requests > 0
        and not pool.failed
        and _p(pool, 0.5) == 0
        and pool.share("queued") <= _HARDLY
    )


def _calm_text(pool: PoolView) -> str:
    return (
        f"queued {percent(pool.share('queued'))} of the time, wait p50 {seconds(_p(pool, 0.5))}, "
        f"{pool.failed} of {pool.requests} failed, {pool.opened} new connections, "
        f"{pool.reused} reused"
    )


def _healthy(pools: Pools) -> Evidence:
    both = [_of(pools, OPENAI), _of(pools, ANTHROPIC)]
    parts = [f"{name}: {_calm_text(pool)}" for name, pool in zip(_BOTH, both, strict=True)]
    held = all(_is_calm(pool) and pool.reused > pool.opened for pool in both)
    return Evidence("; ".join(parts), held)


def _saturated(pools: Pools) -> Evidence:
    openai, anthropic = _of(pools, OPENAI), _of(pools, ANTHROPIC)
    timeouts = openai.timeouts.get("pool", 0)
    parts = [
        f"{name}: queued {percent(pool.share('queued'))} of the time, "
        f"wait p95 {seconds(_p(pool, 0.95))}"
        for name, pool in ((OPENAI, openai), (ANTHROPIC, anthropic))
    ]
    held = all(
        pool.share("queued") >= 0.4 and _p(pool, 0.95) >= 0.05 for pool in (openai, anthropic)
    )
    return Evidence(f"{'; '.join(parts)}; openai: pool timeouts {timeouts}", held and timeouts > 0)


def _slow(pools: Pools) -> Evidence:
    both = [_of(pools, OPENAI), _of(pools, ANTHROPIC)]
    parts = [
        f"{name}: awaiting_response {percent(pool.share('awaiting_response'))}, "
        f"reading {percent(pool.share('reading'))}, queued {percent(pool.share('queued'))}"
        for name, pool in zip((OPENAI, ANTHROPIC), both, strict=True)
    ]
    held = all(
        pool.share("awaiting_response", "reading") >= 0.8 and pool.share("queued") <= _HARDLY
        for pool in both
    )
    return Evidence("; ".join(parts), held)


def _churn(pools: Pools) -> Evidence:
    pool = _of(pools, OPENAI)
    return Evidence(
        f"openai: {pool.requests} calls opened {pool.pools_opened} pools and {pool.opened} "
        f"connections, {pool.reused} reused",
        pool.requests > 0
        and pool.pools_opened == pool.requests
        and pool.opened == pool.requests
        and pool.reused == 0,
    )


def _failures(pools: Pools) -> Evidence:
    openai, anthropic = _of(pools, OPENAI), _of(pools, ANTHROPIC)
    refused = anthropic.errors.get("connection_error", 0)
    return Evidence(
        f"openai: timeouts {counts_text(openai.timeouts)}; "
        f"anthropic: connection_error {refused}, new connections {anthropic.opened}",
        openai.timeouts.get("read", 0) > 0 and refused > 0 and anthropic.opened == 0,
    )


def _recovery(pools: Pools) -> Evidence:
    openai, anthropic = _of(pools, OPENAI), _of(pools, ANTHROPIC)
    parts = [f"{OPENAI}: {_calm_text(openai)}", f"{ANTHROPIC}: {_calm_text(anthropic)}"]
    held = anthropic.opened > 0 and all(_is_calm(p) and p.reused for p in (openai, anthropic))
    return Evidence("; ".join(parts), held)


_CALM = (
    Traffic(OPENAI, 2, stream=True),
    Traffic(ANTHROPIC, 2),
    Traffic(GLUELLM, 1),
)

STORY = (
    Act(
        name="healthy",
        line="Fewer callers than connections: hardly any time goes to 'queued' (wait p50 0 s), "
        "and connections are reused.",
        traffic=_CALM,
        behaviours={},
        evidence=_healthy,
    ),
    Act(
        name="saturated",
        line="Far more callers than connections, the providers as quick as before: the time goes "
        "to 'queued', wait p95 grows, and openai's callers run into the pool timeout.",
        traffic=(
            Traffic(OPENAI, 20, pause=0.0, stream=True),
            Traffic(ANTHROPIC, 12, pause=0.0),
            Traffic(GLUELLM, 4),
        ),
        behaviours={},
        evidence=_saturated,
        longest=0.6,
    ),
    Act(
        name="slow",
        line="The provider is slow, connections are enough: the time goes to 'awaiting_response' "
        "and 'reading', hardly any to 'queued'.",
        traffic=(Traffic(OPENAI, 3, stream=True), Traffic(ANTHROPIC, 3), Traffic(GLUELLM, 1)),
        behaviours=dict.fromkeys(TARGETS, SLOW),
        evidence=_slow,
        longest=0.9,
    ),
    Act(
        name="churn",
        line="A client per call on openai: as many pools and new connections as calls, none "
        "reused; live pools, and 'max' as the sum of their limits, grow until the garbage "
        "collector comes.",
        traffic=(Traffic(OPENAI, 2, pause=0.1, client_per_call=True), Traffic(ANTHROPIC, 1)),
        behaviours={},
        evidence=_churn,
        discards=True,
        longest=0.4,
    ),
    Act(
        name="failures",
        line="openai's provider falls silent, anthropic's refuses connections: read timeouts "
        "count up on one, connection errors without a new connection on the other.",
        traffic=(
            Traffic(OPENAI, 2, stream=True, timeout=0.4),
            Traffic(ANTHROPIC, 2, pause=0.2),
        ),
        behaviours={OPENAI: SILENT},
        refusing=(ANTHROPIC,),
        evidence=_failures,
        longest=0.5,
    ),
    Act(
        name="recovery",
        line="Both providers are back: anthropic's callers connect anew once, then all reuse; "
        "no failure, and hardly any time goes to 'queued' (wait p50 0 s).",
        traffic=_CALM,
        behaviours={},
        evidence=_recovery,
        after="failures",
    ),
)

SCENARIOS = {act.name: act for act in STORY}

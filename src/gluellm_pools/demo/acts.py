"""The demo's story: what happens in each act, and which number has to show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..fake_provider import Behaviour
from . import evidence
from .evidence import Evidence, Seen
from .faults import AbandonedStreams, BlockedLoop, Fault, StuckStreams
from .targets import ANTHROPIC, GLUELLM, OPENAI, SILENT, SLOW, TARGETS


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    name: str
    line: str
    """What happens, and which number shows it."""
    evidence: Callable[[Seen], Evidence]
    traffic: tuple[Traffic, ...] = ()
    behaviours: Mapping[str, Behaviour] = field(default_factory=dict)
    """By target; the others are quick."""
    refusing: tuple[str, ...] = ()
    """Targets whose provider refuses connections."""
    fault: type[Fault] = Fault
    """Goes on beside the traffic."""
    discards: bool = False
    """The act leaves pools behind that only the garbage collector finds."""
    longest: float = 0.3
    """Seconds that one request may take, so that the act ends in time."""
    clearing: float = 0.0
    """Seconds of the act that it takes to see what was cleared up."""
    shortest: float = 1.0
    """Seconds under which the act can't hold what its line promises."""
    after: str | None = None
    """The act that has to come before this one when it is played alone."""


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
        evidence=evidence.healthy,
        shortest=1.2,
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
        evidence=evidence.saturated,
        longest=0.6,
        shortest=1.6,
    ),
    Act(
        name="slow",
        line="The provider is slow, connections are enough: the time goes to 'awaiting_response' "
        "and 'reading', hardly any to 'queued'.",
        traffic=(Traffic(OPENAI, 3, stream=True), Traffic(ANTHROPIC, 3), Traffic(GLUELLM, 1)),
        behaviours=dict.fromkeys(TARGETS, SLOW),
        evidence=evidence.slow,
        longest=0.9,
        after="healthy",
        shortest=1.2,
    ),
    Act(
        name="churn",
        line="A client per call on openai: as many pools and new connections as calls, none "
        "reused; live pools, and 'max' as the sum of their limits, grow until the garbage "
        "collector comes.",
        traffic=(Traffic(OPENAI, 2, pause=0.1, client_per_call=True), Traffic(ANTHROPIC, 1)),
        evidence=evidence.churn,
        discards=True,
        longest=0.4,
        shortest=0.9,
    ),
    Act(
        name="leak",
        line="Four streams of openai are abandoned, never read or broken off: they hold the "
        "pool's connections in 'unread', callers run into the pool timeout, and a warning names "
        "the line that abandoned them.",
        traffic=(Traffic(OPENAI, 2, stream=True), Traffic(ANTHROPIC, 1)),
        fault=AbandonedStreams,
        evidence=evidence.leak,
        longest=0.6,
        clearing=1.0,
        shortest=4.9,
    ),
    Act(
        name="http2-stuck",
        line="openai over HTTP/2, four streams on a connection: the provider hangs, callers wait "
        "in 'stream_queued', others give up and orphan their streams. It is quick again soon, and "
        "yet every call fails.",
        traffic=(Traffic(ANTHROPIC, 1),),
        fault=StuckStreams,
        evidence=evidence.http2_stuck,
        shortest=1.7,
    ),
    Act(
        name="blocked-loop",
        line="Providers as quick as ever, and something blocks the callers' event loop for 0.3 s "
        "again and again: gluellm.event_loop.late.time shows it, and the waits mean nothing "
        "meanwhile.",
        traffic=(
            Traffic(OPENAI, 2, stream=True),
            Traffic(ANTHROPIC, 6, pause=0.0),
            Traffic(GLUELLM, 1),
        ),
        fault=BlockedLoop,
        evidence=evidence.blocked_loop,
        longest=0.9,
        shortest=1.5,
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
        evidence=evidence.failures,
        longest=0.5,
    ),
    Act(
        name="recovery",
        line="Both providers are back: anthropic's callers connect anew once, then all reuse; "
        "no failure, and hardly any time goes to 'queued' (wait p50 0 s).",
        traffic=_CALM,
        evidence=evidence.recovery,
        after="failures",
    ),
)

SCENARIOS = {act.name: act for act in STORY}

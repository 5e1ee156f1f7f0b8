"""The demo's story: what happens in each act, and which values have to show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gluellm_diagnosis.findings import Kind
from opentelemetry.instrumentation.gluellm.thresholds import QUEUED_SHARE

from ..fake_provider import Behaviour, RateLimit
from . import faults
from .evidence import WARNINGS, Criterion
from .load import Traffic
from .targets import ANTHROPIC, CONNECTIONS, HTTP2, MAX_STREAMS, OPENAI, QUICK, SILENT, TARGETS

_TIMEOUT = 1.35
"""Seconds that openai's callers allow for each step in the acts `saturated` and `slow`. Their calls
take about 1.5 s in both, and the ones that fail do so with the same error."""
_SLOW = Behaviour(head_delay=1.1, jitter=0.5, tokens=8, token_rate=80)
_STALLED = Behaviour(head_delay=0.22, token_rate=160, stall_after=3, ping_every=0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    name: str
    line: str
    """What happens, for the viewer."""
    evidence: Sequence[Criterion]
    """The act goes on until all these criteria hold, within reason."""
    finding: Sequence[Kind] = ()
    """The act also goes on until one of these is its worst finding. Empty if no finding is due."""
    traffic: Sequence[Traffic] = ()
    behaviours: Mapping[str, Behaviour | RateLimit] = field(default_factory=dict)
    """By target; the others are quick."""
    refusing: Sequence[str] = ()
    """Targets whose provider refuses connections."""
    fault: faults.Fault = faults.no_fault
    """Fault that is caused while the traffic runs."""
    shown: Sequence[str] = (OPENAI,)
    """Targets whose pools are shown at length. The first is the one whose callers are shown."""
    by_default: bool = False


_CALM_TRAFFIC = (Traffic(OPENAI, 2, stream=True), Traffic(ANTHROPIC, 2))


def _calm(target: str) -> Sequence[Criterion]:
    return (
        Criterion(target, "calls", 2),
        Criterion(target, "failed", at_most=0),
        Criterion(target, "queued", at_most=QUEUED_SHARE),
        Criterion(target, "reuse", 0.5),
    )


STORY = (
    Act(
        name="healthy",
        line="Fewer callers than connections: each call finds a free connection at once.",
        traffic=_CALM_TRAFFIC,
        evidence=(*_calm(OPENAI), *_calm(ANTHROPIC)),
        by_default=True,
    ),
    Act(
        name="saturated",
        line="openai has many more callers than connections. The provider is still fast.",
        traffic=(
            Traffic(OPENAI, 26, pause=0.0, stream=True, timeout=_TIMEOUT),
            Traffic(ANTHROPIC, 2),
        ),
        finding=(Kind.POOL_TOO_SMALL, Kind.POOL_SATURATED),
        evidence=(
            # On a busy machine all phases grow: an idle one has three times as much.
            Criterion(OPENAI, "queued", 0.25),
            Criterion(OPENAI, "pool timeouts", 1),
        ),
        by_default=True,
    ),
    Act(
        name="slow",
        line="There are enough connections, but the providers are slow.",
        traffic=(Traffic(OPENAI, 4, stream=True, timeout=_TIMEOUT), Traffic(ANTHROPIC, 3)),
        behaviours=dict.fromkeys(TARGETS, _SLOW),
        finding=(Kind.READ_TIMEOUT,),
        evidence=(
            Criterion(OPENAI, "time at the provider", 0.8),
            Criterion(OPENAI, "queued", at_most=QUEUED_SHARE),
            Criterion(OPENAI, "read timeouts", 1),
        ),
        by_default=True,
    ),
    Act(
        name="rate-limited",
        line="openai answers one request a second and refuses the others with 429. The SDK waits "
        "and sends them again: the calls are slow, and the pool is idle.",
        traffic=(Traffic(OPENAI, 4, retries=2), Traffic(ANTHROPIC, 1)),
        behaviours={OPENAI: RateLimit(1, QUICK)},
        finding=(Kind.RETRIES,),
        evidence=(Criterion(OPENAI, "retries", 5), Criterion(OPENAI, "back-off", 0.5)),
    ),
    Act(
        name="stalled-stream",
        line="Streams of openai stop after three items. The provider goes on sending pings, so no "
        "read timeout ends them.",
        traffic=(Traffic(ANTHROPIC, 1),),
        behaviours={OPENAI: _STALLED},
        fault=faults.read_stalled_streams,
        finding=(Kind.STALLED_STREAMS, Kind.CALLS_SILENT),
        evidence=(
            Criterion(OPENAI, "silent calls", 3),
            Criterion(OPENAI, "read timeouts", at_most=0),
        ),
    ),
    Act(
        name="churn",
        line="A new client for each call to openai: each opens a pool and a connection, and none "
        "is reused.",
        traffic=(Traffic(OPENAI, 2, pause=0.1, client_per_call=True), Traffic(ANTHROPIC, 1)),
        finding=(Kind.CLIENT_CHURN,),
        evidence=(Criterion(OPENAI, "pools per call", 1), Criterion(OPENAI, "reuse", at_most=0)),
    ),
    Act(
        name="leak",
        line="Four streams of openai are not read to their end. They hold every connection of the "
        "pool, and other callers time out.",
        traffic=(Traffic(OPENAI, 2, stream=True), Traffic(ANTHROPIC, 1)),
        fault=faults.abandon_streams,
        finding=(Kind.LEAK,),
        evidence=(
            Criterion(OPENAI, "leaks suspected", CONNECTIONS[OPENAI]),
            Criterion(OPENAI, "unread now", CONNECTIONS[OPENAI]),
            Criterion(OPENAI, "pool timeouts", 1),
            Criterion("", WARNINGS, 2),
        ),
        by_default=True,
    ),
    Act(
        name="http2-stuck",
        line="openai over HTTP/2 allows four streams at once. It answers, then hangs. Callers give "
        "up, and their streams stay open. The provider recovers, but every later call fails.",
        traffic=(Traffic(ANTHROPIC, 1),),
        fault=faults.give_up_streams,
        finding=(Kind.HTTP2_STUCK,),
        evidence=(
            Criterion(HTTP2, "streams orphaned", MAX_STREAMS),
            Criterion(HTTP2, "stream_queued", 0.001),
            Criterion(HTTP2, "protocol errors", 1),
        ),
        shown=(HTTP2,),
    ),
    Act(
        name="blocked-loop",
        line="The providers are fast, but something blocks the callers' event loop for 0.3 s again "
        "and again. Measured times are unreliable during such pauses.",
        traffic=(Traffic(OPENAI, 2, stream=True), Traffic(ANTHROPIC, 6, pause=0.0)),
        fault=faults.block_loop,
        finding=(Kind.BLOCKED_EVENT_LOOP,),
        evidence=(Criterion(ANTHROPIC, "calls", 1),),
    ),
    Act(
        name="failures",
        line="openai's provider does not answer, and anthropic's refuses connections.",
        traffic=(Traffic(OPENAI, 2, stream=True, timeout=0.4), Traffic(ANTHROPIC, 2, pause=0.2)),
        behaviours={OPENAI: SILENT},
        refusing=(ANTHROPIC,),
        finding=(Kind.READ_TIMEOUT, Kind.CONNECT_FAILURES),
        evidence=(
            Criterion(OPENAI, "read timeouts", 1),
            Criterion(ANTHROPIC, "connection errors", 1),
            Criterion(ANTHROPIC, "new connections", at_most=0),
        ),
        shown=(OPENAI, ANTHROPIC),
    ),
)

SCENARIOS = {act.name: act for act in STORY}

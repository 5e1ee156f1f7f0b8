"""The catalogue of incidents: each is one service that is well until something goes wrong.

The score draws an incident anew for each run, which takes seconds. A replay plays it over minutes,
under the load of one process of a calm service, for alerts and boards. The demo has an act of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any, Final

from gluellm_pools.demo import faults as demo
from opentelemetry.instrumentation.gluellm.diagnosis.findings import Kind
from opentelemetry.instrumentation.gluellm.thresholds import STUCK_ALERT_AFTER

from . import faults
from .faults import compute
from .stage import ANTHROPIC, OPENAI, Answers, Range, Setting, Traffic

CALLS_FAIL: Final = "GlueLLMCallsFail"
SILENT: Final = "GlueLLMCallsSilent"
STUCK: Final = "GlueLLMRequestsStuck"
TIMEOUTS: Final = "GlueLLMPoolTimeouts"
NEAR: Final = "GlueLLMWaitNearTimeout"
LEAK: Final = "GlueLLMConnectionLeakSuspected"
CONNECT: Final = "GlueLLMConnectFailures"
REUSE: Final = "GlueLLMReuseFailures"
ORPHANED: Final = "GlueLLMHttp2StreamsOrphaned"
BLOCKED: Final = "GlueLLMEventLoopBlocked"
PAGES: Final = {CALLS_FAIL, SILENT, STUCK, TIMEOUTS}
"""The alerts that page."""
HOLDS_BACK: Final = {*PAGES, BLOCKED, ORPHANED}
"""The alerts that others wait for in Alertmanager."""
NOT_BY_LOAD: Final = {
    SILENT: "a silence three times as long as any of an hour, which no replay has",
    "GlueLLMCallsSlow": "calls that are compared with those of the hour before",
    "GlueLLMCallsCancelled": "callers who give up, of whom no replay has enough",
    "GlueLLMBlind": "a version of a library that lacks something, or an instance that falls silent",
    "GlueLLMPoolAnomaly": "a fault in an HTTP library, met by chance",
}
"""Alerts that no incident raises, and what would."""

Drawn = tuple[Setting, demo.Fault]


@dataclass(frozen=True, slots=True)
class Incident:
    """What goes wrong, who has to say so, and how."""

    name: str
    kind: Kind | None
    """As `diagnose` calls it; None where nothing is wrong."""
    answer: str
    """What goes wrong, for whoever has looked."""
    draw: Callable[[Random, Setting], Drawn] | None = None
    """For a run of the score, in a service that is well; None: it isn't played there."""
    period: float = 4.5
    """Seconds that a run takes at least until it can be seen."""
    setting: Setting | None = None
    """Of a replay; None: it isn't replayed."""
    fault: demo.Fault = field(default_factory=demo.Fault)
    joins: Setting | None = None
    """Of an instance of another version, that joins two others when the incident begins."""
    expects: Mapping[str, float] = field(default_factory=dict)
    """Alerts that have to fire, and how many seconds after the beginning what each watches is
    there, as the load is."""
    allows: tuple[str, ...] = ()
    """Alerts that may fire as well, being right too."""
    act: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The demo's act of it, and the alerts whose expression holds there."""


# What is replayed

_ANSWERS: Final = Answers(
    head_delay=0.6, jitter=0.4, tokens=(10, 30), token_rate=25, reasoning=(4.0, 8.0)
)
_STEADY: Final = Traffic(callers=3, pause=(0.5, 2.5), streams=0.6)
_SPARSE: Final = Traffic(callers=2, pause=(2.0, 5.0), streams=0.6)
_IDLING: Final = Traffic(callers=5, pause=(2.0, 8.0), streams=0.6)
_ARRIVALS: Final = Traffic(shape="arrivals", rate=1.5, streams=0.6)


def _setting(provider: str, traffic: Traffic = _STEADY, **more: Any) -> Setting:
    defaults: dict[str, Any] = {"connections": 20, "retries": 2, "answers": _ANSWERS}
    return Setting(provider=provider, traffic=(traffic,), **{**defaults, **more})


_BUSY: Final = Traffic(callers=12, pause=(2.0, 4.0), streams=0.6)
_TO_DEPLOY: Final = _setting(OPENAI, _BUSY, pool_timeout=5.0)
BESIDE: Final = {OPENAI: _setting(ANTHROPIC, _SPARSE), ANTHROPIC: _setting(OPENAI, _SPARSE)}
"""By provider, another one of the same service, which is well all the time."""

# What is drawn


def _slower(factor: float, tokens: float | None = None) -> demo.Fault:
    return faults.Answered({"head_factor": factor, "token_factor": tokens or factor})


def _slowness(factors: Range, rng: Random, setting: Setting) -> Drawn:
    return setting, _slower(rng.uniform(*factors))


def _error_spell(rng: Random, setting: Setting) -> Drawn:
    errors = {"error_share": rng.uniform(0.1, 0.4)}
    return setting, faults.Answered(errors, rng.uniform(0.5, 1.5))


def _lull(rng: Random, setting: Setting) -> Drawn:
    return setting, faults.Lull(rng.uniform(0.2, 1.0), rng.uniform(1.0, 2.0))


def _with_room(setting: Setting, more: int) -> Setting:
    """With connections for so many callers more."""
    connections = setting.connections and max(setting.connections, setting.callers + more)
    return replace(setting, connections=connections)


def _burst(rng: Random, setting: Setting) -> Drawn:
    callers = rng.randint(5, 12)
    once = {"shape": "steady", "callers": callers, "pause": (100.0, 100.0)}
    return _with_room(setting, callers), faults.More(once, rng.uniform(0.2, 2.0))


def _more_callers(rng: Random, setting: Setting) -> Drawn:
    callers = rng.randint(1, 2)
    return _with_room(setting, callers), faults.More({"callers": callers})


def _small(rng: Random, setting: Setting) -> tuple[int, Setting]:
    # Few callers and connections: what the machine can carry is not what is looked for.
    connections = rng.randint(2, 5)
    base = replace(setting.traffic[0], callers=rng.randint(1, 2), pause=(0.1, 0.5))
    answers = replace(setting.answers, head_delay=rng.uniform(0.12, 0.4))
    more = {"connections": connections, "pool_timeout": rng.choice([1.0, 5.0, 60.0, 600.0])}
    return connections, replace(setting, traffic=(base,), answers=answers, **more)


def _crowd(rng: Random, setting: Setting) -> Drawn:
    connections, setting = _small(rng, setting)
    callers = round(connections * rng.uniform(2.0, 5.0)) + 1
    return setting, faults.More({"callers": callers, "pause": (0.0, rng.uniform(0.01, 0.2))})


def _rush(rng: Random, setting: Setting) -> Drawn:
    connections, setting = _small(rng, replace(setting, sync=False))
    rate = rng.uniform(1.5, 2.5) * connections / setting.answers.usual
    return setting, faults.More({"shape": "arrivals", "rate": rate})


def _crowded(rng: Random, setting: Setting) -> Drawn:
    # As many calls as before, which the pool can't carry any more once they take longer.
    rate = rng.uniform(8, 16)
    main = replace(setting.traffic[0], shape="arrivals", rate=rate, callers=1)
    connections = round(rate * setting.answers.usual * 2) + 2
    setting = replace(setting, traffic=(main,), connections=connections, sync=False)
    return setting, _slower(rng.uniform(3.5, 8.0))


def _slow_tokens(rng: Random, setting: Setting) -> Drawn:
    answers = replace(setting.answers, tokens=(8, 20), token_rate=rng.uniform(60, 150))
    longer = rng.uniform(2.5, 6.0) * answers.usual
    mean = sum(answers.tokens) / 2 / answers.token_rate
    return replace(setting, answers=answers), _slower(1.0, 1 + longer / mean)


def _silent(rng: Random, setting: Setting) -> Drawn:
    # No reasoning among them: with so short a read timeout that would not work at all.
    main = replace(setting.traffic[0], callers=rng.randint(5, 8))
    setting = replace(setting, traffic=(main,), read_timeout=rng.choice([1.2, 1.5, 600.0]))
    return _with_room(setting, 2), faults.Answered({"silent_share": rng.choice([0.6, 1.0])})


def _leak(begun: bool, rng: Random, setting: Setting) -> Drawn:
    setting = _with_room(setting, 2)
    most = setting.connections or 6
    count = rng.choice([1, 2, rng.randint(1, most), most])
    if not begun:
        setting = replace(setting, provider=OPENAI)
    return setting, demo.AbandonedStreams(count if most <= 20 else min(count, 6), begun=(begun,))


def _slow_consumer(rng: Random, setting: Setting) -> Drawn:
    tokens = (6, rng.randint(8, 20))
    pause = rng.uniform(0.5, 1.8) / tokens[1]
    # Nobody gives up: who does so between two chunks leaves a leak behind, and that is another
    # cause.
    traffic = tuple(
        replace(part, streams=1.0)
        for part in setting.traffic
        if part.model != "reasoning" and part.shape != "cancelling"
    )
    answers = replace(setting.answers, tokens=tokens, token_rate=rng.uniform(100, 300))
    setting = replace(setting, answers=answers, traffic=traffic)
    return setting, faults.SlowReading((0.7 * pause, 1.6 * pause))


def _churn(way: str, rng: Random, setting: Setting) -> Drawn:
    pause = (0.05, rng.uniform(0.1, 0.3))
    return setting, faults.ThrowAway(way, rng.randint(2, 4), rng.choice([1, 1, 2]), pause)


def _refused(rng: Random, setting: Setting, fault: demo.Fault | None = None) -> Drawn:
    # Short enough for some to run out in time, where nobody answers.
    return replace(setting, connect_timeout=rng.uniform(0.8, 1.5)), fault or faults.Down()


def _flapping(rng: Random, setting: Setting) -> Drawn:
    return _refused(rng, setting, faults.Flapping(rng.uniform(0.2, 0.5), rng.uniform(0.3, 0.6)))


def _wrong(part: str, rng: Random, setting: Setting) -> Drawn:
    return _refused(rng, setting, faults.WrongAddress(rng.randint(1, 3), part))


def _dropped(rng: Random, setting: Setting) -> Drawn:
    return setting, faults.Answered({"dropped_share": rng.uniform(0.15, 1.0)})


def _resets(rng: Random, setting: Setting) -> Drawn:
    # Long heads, so that each reset meets requests that wait for one.
    answers = replace(setting.answers, head_delay=rng.uniform(0.2, 0.4))
    return replace(setting, answers=answers), faults.Resets(rng.uniform(0.5, 0.9))


def _blocked(work: Callable[[float], None], rng: Random, setting: Setting) -> Drawn:
    blocks, free = (0.35, rng.uniform(0.4, 1.0)), (0.2, rng.uniform(0.3, 0.9))
    return setting, demo.BlockedLoop(blocks, free, work)


def _orphans(rng: Random, setting: Setting) -> Drawn:
    streams = rng.choice([setting.callers + 4, 32, 100])
    count = rng.randint(max(2, streams // 5), streams)
    return replace(setting, max_streams=streams), faults.HungStreams(count, patience=(0.3, 1.0))


def _hung(rng: Random, setting: Setting) -> Drawn:
    streams = rng.randint(8, 16)
    setting = replace(setting, max_streams=streams, read_timeout=600.0, connections=1)
    return setting, faults.HungStreams(streams)


_ALL: Final = (
    Incident(
        "healthy",
        None,
        "Nothing is wrong.",
        lambda rng, setting: (setting, demo.Fault()),
        setting=_setting(OPENAI, answers=replace(_ANSWERS, error_share=0.01)),
        act={"healthy": ()},
    ),
    Incident("mood", None, "A little slower or quicker.", partial(_slowness, (0.7, 1.4))),
    Incident("error-spell", None, "For a while the provider answers with errors.", _error_spell),
    Incident("burst", None, "Many calls at once, one time, for which there is room.", _burst),
    Incident("lull", None, "For a while nobody calls.", _lull),
    Incident("more-callers", None, "More callers, for whom there is room.", _more_callers),
    Incident(
        "saturated",
        Kind.POOL_TOO_SMALL,
        "More callers than connections, who wait for seconds; nobody fails yet.",
        setting=_setting(OPENAI, connections=4, pool_timeout=60.0),
        fault=faults.More({"callers": 14, "pause": (0.0, 1.0)}),
    ),
    Incident(
        "too-small",
        Kind.POOL_TOO_SMALL,
        "A burst of callers on a pool of few connections: they wait, some until the pool timeout. "
        "The provider is as quick as before.",
        _crowd,
        setting=_setting(OPENAI, connections=4, pool_timeout=10.0, retries=0),
        fault=faults.More({"callers": 40, "pause": (0.0, 2.0)}),
        expects={TIMEOUTS: 15.0, NEAR: 15.0},
        allows=(CALLS_FAIL,),
        act={"saturated": (TIMEOUTS, NEAR, CALLS_FAIL)},
    ),
    Incident("rush", Kind.POOL_TOO_SMALL, "More calls a second than the pool can carry.", _rush),
    Incident(
        "wrong-limit",
        Kind.POOL_TOO_SMALL,
        "A new version was deployed whose pool may have 2 connections, where those of the old "
        "version may have 20.",
        setting=_TO_DEPLOY,
        joins=replace(_TO_DEPLOY, connections=2),
        expects={"GlueLLMLimitDiffers": 10.0, TIMEOUTS: 30.0},
        allows=(NEAR, CALLS_FAIL),
    ),
    Incident(
        "slow-provider",
        Kind.SLOW_PROVIDER,
        "The provider takes many times as long as before. The pool, which was large enough, is "
        "full of requests that wait for it, and the rest queue.",
        _crowded,
        setting=_setting(OPENAI, _ARRIVALS, connections=10, pool_timeout=60.0, retries=0),
        fault=_slower(12.0),
        # The pool is full when the first slow answers are due, after 20 s; who waits from then
        # on gives up 60 s later, and some have to.
        expects={STUCK: 20.0 + STUCK_ALERT_AFTER, TIMEOUTS: 95.0},
        allows=(NEAR, CALLS_FAIL),
    ),
    Incident(
        "slower", Kind.SLOW_PROVIDER, "With room.", partial(_slowness, (3.5, 8.0)), act={"slow": ()}
    ),
    Incident("slow-tokens", Kind.SLOW_PROVIDER, "Only its tokens are slow.", _slow_tokens),
    Incident("silent", Kind.SLOW_PROVIDER, "No answer.", _silent, act={"failures": ()}),
    Incident(
        "retry-storm",
        Kind.SLOW_PROVIDER,
        "The provider is overloaded and refuses three of four requests, late; the SDK resends each "
        "up to five times, and the resent requests fill the pool of 8.",
        setting=_setting(OPENAI, _ARRIVALS, connections=8, pool_timeout=10.0, retries=5),
        fault=faults.Answered({"error_share": 0.75, "head_factor": 4.0}),
        # The SDK waits a random time before it resends, so the pool fills sooner or later.
        expects={TIMEOUTS: 40.0},
        allows=(NEAR, CALLS_FAIL),
    ),
    Incident(
        "leak",
        Kind.LEAK,
        "Streams that nobody reads to their end hold connections, one more every 4 s in a replay, "
        "until they hold all 8 and everybody else waits.",
        partial(_leak, True),
        setting=_setting(OPENAI, connections=8),
        fault=demo.AbandonedStreams(8, every=4.0, begun=(True,)),
        # 60 s of silence, counted from the first one on, and from the last one 30 s of waiting.
        expects={LEAK: 60.0, STUCK: 32.0 + STUCK_ALERT_AFTER},
        allows=(CALLS_FAIL,),
        act={"leak": (LEAK,)},
    ),
    Incident("never-read", Kind.LEAK, "The same, not read at all.", partial(_leak, False)),
    Incident("slow-consumer", Kind.SLOW_CONSUMER, "Callers work between chunks.", _slow_consumer),
    Incident(
        "churn",
        Kind.CLIENT_CHURN,
        "A client is built for each call instead of one that is kept: a pool and a connection per "
        "call, none reused.",
        partial(_churn, "function"),
        setting=_setting(OPENAI, _SPARSE),
        fault=faults.ThrowAway("function", callers=4, calls=1, pause=(0.5, 1.5)),
        # Until the calls of 2 min before are outnumbered.
        expects={"GlueLLMClientChurn": 45.0},
        # Each client reads the certificates of all authorities, in the event loop.
        allows=(BLOCKED,),
        act={"churn": ()},
    ),
    Incident("kept-churn", Kind.CLIENT_CHURN, "For a call or two.", partial(_churn, "kept")),
    Incident("closed-churn", Kind.CLIENT_CHURN, "The same, closed.", partial(_churn, "closed")),
    Incident(
        "refused",
        Kind.CONNECT_FAILURES,
        "The provider's address refuses connections, and in a replay another address that came "
        "with a new configuration can't be resolved.",
        _refused,
        setting=_setting(ANTHROPIC),
        fault=faults.Together((faults.Down(), faults.WrongAddress(2, "host"))),
        expects={CONNECT: 10.0, CALLS_FAIL: 20.0},
        act={"failures": (CONNECT,)},
    ),
    Incident("flapping", Kind.CONNECT_FAILURES, "The provider comes and goes.", _flapping),
    Incident("wrong-port", Kind.CONNECT_FAILURES, "Nobody listens there.", partial(_wrong, "port")),
    Incident("wrong-scheme", Kind.CONNECT_FAILURES, "It knows no TLS.", partial(_wrong, "scheme")),
    Incident(
        "dropped",
        Kind.REUSE_FAILURES,
        "Something between the service and the provider forgets idle connections and resets them "
        "when they are used again; the SDK resends.",
        _dropped,
        setting=_setting(ANTHROPIC, _IDLING, keepalive_expiry=120.0),
        fault=faults.Answered({"dropped_share": 0.4}),
        expects={REUSE: 10.0},
    ),
    Incident("resets", Kind.REUSE_FAILURES, "All connections are reset now and then.", _resets),
    Incident(
        "blocked-loop",
        Kind.BLOCKED_EVENT_LOOP,
        "Something blocks the event loop for half a second and more, again and again. Provider and "
        "pool are well.",
        partial(_blocked, time.sleep),
        setting=_setting(OPENAI, connections=6),
        fault=demo.BlockedLoop((0.5, 0.9), (0.4, 1.0)),
        # Late for at least 40 % of the time: that is 20 % of 5 minutes after 150 s.
        expects={BLOCKED: 150.0},
        act={"blocked-loop": ()},
    ),
    Incident("busy-loop", Kind.BLOCKED_EVENT_LOOP, "It computes.", partial(_blocked, compute)),
    Incident(
        "http2-stuck",
        Kind.HTTP2_STUCK,
        "Over HTTP/2 callers give up on requests that hang, and the streams stay taken at the "
        "provider: in a replay two more every 5 s, until none of the 24 is left.",
        _orphans,
        setting=_setting(OPENAI, http2=True, max_streams=24, retries=0),
        fault=faults.HungStreams(24, patience=(0.3, 1.0), every=2.5),
        expects={ORPHANED: 10.0},
        # The library refuses what finds no stream: a protocol error on a reused connection.
        allows=(REUSE, CALLS_FAIL),
        act={"http2-stuck": (ORPHANED, REUSE)},
    ),
    Incident("hung-streams", Kind.HTTP2_STUCK, "Every stream hangs for good.", _hung, period=7.0),
)
INCIDENTS: Final = {incident.name: incident for incident in _ALL}
REPLAYED: Final = {name: one for name, one in INCIDENTS.items() if one.setting is not None}
SCORED: Final = {name: one for name, one in INCIDENTS.items() if one.draw is not None}

"""The incidents. The load is small: what one process of a calm service does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from opentelemetry.instrumentation.gluellm.thresholds import STUCK_ALERT_AFTER
from studies.accuracy.scoring.causes import Cause
from studies.accuracy.scoring.inside import Abandonment, Block, Crowd, Nothing, ThrowAway
from studies.accuracy.scoring.outside import Down, Dropping, Orphans, Slowness
from studies.accuracy.scoring.plan import ANTHROPIC, OPENAI, Answering, Setting, Traffic

from .faults import Overload, Repeatedly, Together, Unresolvable
from .incident import Incident, Instance

_ANSWERING: Final = Answering(
    head_delay=0.6,
    jitter=0.4,
    tokens=(10, 30),
    token_rate=25,
    error_share=0.0,
    reasoning=(4.0, 8.0),
)
_STEADY: Final = Traffic(shape="steady", callers=3, pause=(0.5, 2.5), streams=0.6)
_SPARSE: Final = Traffic(shape="steady", callers=2, pause=(2.0, 5.0), streams=0.6)
_BUSY: Final = Traffic(shape="steady", callers=12, pause=(2.0, 4.0), streams=0.6)
_ARRIVALS: Final = Traffic(shape="arrivals", rate=1.5, streams=0.6)

STUCK: Final = "GlueLLMRequestsStuck"
TIMEOUTS: Final = "GlueLLMPoolTimeouts"
NEAR: Final = "GlueLLMWaitNearTimeout"
LEAK: Final = "GlueLLMConnectionLeakSuspected"


def _setting(provider: str, traffic: Traffic, **more: Any) -> Setting:
    defaults: dict[str, Any] = {"connections": 20, "retries": 2, "answering": _ANSWERING}
    return Setting(provider=provider, traffic=(traffic,), **{**defaults, **more})


_OPENAI_BESIDE: Final = _setting(OPENAI, _SPARSE)
_ANTHROPIC_BESIDE: Final = _setting(ANTHROPIC, _SPARSE)
_TO_DEPLOY: Final = _setting(OPENAI, _BUSY, pool_timeout=5.0)

INCIDENTS: Final = {
    incident.name: incident
    for incident in (
        Incident(
            name="healthy",
            answer="Nothing is wrong.",
            cause=Cause.HEALTHY,
            setting=_setting(OPENAI, _STEADY, answering=replace(_ANSWERING, error_share=0.01)),
            beside=_ANTHROPIC_BESIDE,
            fault=Nothing(),
        ),
        Incident(
            name="saturated",
            answer="More callers than connections, who wait for seconds; nobody fails yet.",
            cause=Cause.TOO_SMALL,
            setting=_setting(OPENAI, _STEADY, connections=4, pool_timeout=60.0),
            beside=_ANTHROPIC_BESIDE,
            fault=Crowd(callers=14, pause=(0.0, 1.0)),
        ),
        Incident(
            name="too-small",
            answer="A burst of callers on a pool of 4 connections: they wait until the pool "
            "timeout of 10 s. The provider is as quick as before.",
            cause=Cause.TOO_SMALL,
            setting=_setting(OPENAI, _STEADY, connections=4, pool_timeout=10.0, retries=0),
            beside=_ANTHROPIC_BESIDE,
            fault=Crowd(callers=40, pause=(0.0, 2.0)),
            expects={TIMEOUTS: 15.0, NEAR: 15.0},
        ),
        Incident(
            name="leak",
            answer="Streams that nobody reads to their end hold connections, one more every 4 s, "
            "until they hold all 8 and everybody else waits.",
            cause=Cause.LEAK,
            setting=_setting(OPENAI, _STEADY, connections=8),
            beside=_ANTHROPIC_BESIDE,
            fault=Repeatedly(Abandonment(streams=1, never_read=False), every=4.0, times=8),
            # 60 s of silence, counted from the first one on, and from the last one 30 s of waiting.
            expects={LEAK: 60.0, STUCK: 32.0 + STUCK_ALERT_AFTER},
        ),
        Incident(
            name="slow-provider",
            answer="The provider takes twelve times as long as before. The pool of 10, which was "
            "large enough, is full of requests that wait for it, and the rest queue.",
            cause=Cause.SLOW_PROVIDER,
            setting=_setting(OPENAI, _ARRIVALS, connections=10, pool_timeout=60.0, retries=0),
            beside=_ANTHROPIC_BESIDE,
            fault=Slowness(factor=12.0, tokens=12.0),
            # The pool is full when the first slow answers are due, after 20 s; who waits from then
            # on gives up 60 s later, and some have to.
            expects={STUCK: 20.0 + STUCK_ALERT_AFTER, TIMEOUTS: 95.0},
            allows=frozenset({NEAR}),
        ),
        Incident(
            name="refused",
            answer="One provider's address refuses connections, and another address that came "
            "with a new configuration can't be resolved.",
            cause=Cause.REFUSED,
            setting=_setting(ANTHROPIC, _STEADY),
            beside=_OPENAI_BESIDE,
            fault=Together((Down(), Unresolvable(callers=2))),
            expects={"GlueLLMConnectFailures": 10.0},
        ),
        Incident(
            name="churn",
            answer="A client is built for each call instead of one that is kept: a pool and a "
            "connection per call, none reused.",
            cause=Cause.CHURN,
            setting=_setting(OPENAI, _SPARSE),
            beside=_ANTHROPIC_BESIDE,
            fault=ThrowAway(way="function", callers=4, calls=1, pause=(0.5, 1.5)),
            # Until the calls of 2 min before are outnumbered.
            expects={"GlueLLMClientChurn": 45.0},
            # Each client reads the certificates of all authorities, in the event loop.
            allows=frozenset({"GlueLLMEventLoopBlocked"}),
        ),
        Incident(
            name="dropped",
            answer="Something between the service and the provider forgets idle connections and "
            "resets them when they are used again; the SDK resends.",
            cause=Cause.REUSE_FAILURES,
            setting=_setting(
                ANTHROPIC, replace(_STEADY, callers=5, pause=(2.0, 8.0)), keepalive_expiry=120.0
            ),
            beside=_OPENAI_BESIDE,
            fault=Dropping(share=0.4),
            expects={"GlueLLMReuseFailures": 10.0},
        ),
        Incident(
            name="http2-stuck",
            answer="Over HTTP/2 callers give up on requests that hang, and the streams stay taken "
            "at the provider: two more every 5 s, until none of the 24 is left.",
            cause=Cause.HTTP2_STUCK,
            setting=_setting(OPENAI, _STEADY, http2=True, max_streams=24, retries=0),
            beside=_ANTHROPIC_BESIDE,
            fault=Repeatedly(Orphans(streams=2), every=5.0, times=12),
            expects={"GlueLLMHttp2StreamsOrphaned": 10.0},
            # The library refuses what finds no stream: a protocol error on a reused connection.
            allows=frozenset({"GlueLLMReuseFailures"}),
        ),
        Incident(
            name="blocked-loop",
            answer="Something blocks the event loop for half a second and more, again and again. "
            "Provider and pool are well.",
            cause=Cause.BLOCKED_LOOP,
            setting=_setting(OPENAI, _STEADY, connections=6),
            beside=_ANTHROPIC_BESIDE,
            fault=Block(lasts=(0.5, 0.9), free=(0.4, 1.0), computes=False),
            # Late for at least 40 % of the time: that is 20 % of 5 minutes after 150 s.
            expects={"GlueLLMEventLoopBlocked": 150.0},
        ),
        Incident(
            name="retry-storm",
            answer="The provider is overloaded and refuses three of four requests, late; the SDK "
            "resends each up to five times, and the resent requests fill the pool of 8.",
            cause=Cause.SLOW_PROVIDER,
            setting=_setting(OPENAI, _ARRIVALS, connections=8, pool_timeout=10.0, retries=5),
            beside=_ANTHROPIC_BESIDE,
            fault=Overload(share=0.75, factor=4.0),
            # The SDK waits a random time before it resends, so the pool fills sooner or later.
            expects={TIMEOUTS: 40.0},
            allows=frozenset({NEAR}),
        ),
        Incident(
            name="wrong-limit",
            answer="A new version was deployed whose pool may have 2 connections, where those of "
            "the old version may have 20.",
            cause=Cause.TOO_SMALL,
            setting=_TO_DEPLOY,
            beside=None,
            fault=Nothing(),
            instances=(
                Instance(),
                Instance(),
                Instance(version="1.5.0", joins=True, setting=replace(_TO_DEPLOY, connections=2)),
            ),
            expects={"GlueLLMLimitDiffers": 10.0, TIMEOUTS: 30.0},
            allows=frozenset({NEAR}),
        ),
    )
}
"""By name. The first two are none: what all is compared with, and what must not page."""
HIDDEN: Final = tuple(name for name in INCIDENTS if name not in ("healthy", "saturated"))
"""Those that somebody may be asked to find."""

"""LLM calls: how they end, how long they take, and in which stage."""

from __future__ import annotations

from ..config import SLOW_WINDOW
from ..query import PROVIDER
from ..rules.questions import CALL_RATE
from .signal import Signal, by, now, quantile, rate, signal

_CALLS = "gluellm.calls"
_TIME = "gluellm.call.time"
_CURRENT = "gluellm.call.current"
_RETRIES = "gluellm.call.retries"
_DURATION = "gluellm.call.duration"
_STAGE = "gluellm.call.stage"
_OF = (PROVIDER,)
_STAGES = (
    "`limited`: the call waits for GlueLLM's rate limiter. `preparing`: the application "
    "prepares a request (client, TLS context, thread). `requesting`: a request is in "
    "flight; the panels on requests show its phase. `backoff`: a pause before a retry. "
    "`finishing`: the application works after a request."
)
_PER_CALL = f"(sum{by()}({rate(_TIME)}) / (sum{by()}({rate(_CALLS)}) > 0))"
_HOUR_AGO = _PER_CALL.replace("[%window%]", "[%window%] offset 1h")

CALLS = Signal(CALL_RATE, "Model calls as the application makes them, however they ended.")
TIME_PER_CALL = signal(
    "time_per_call",
    "How long does a call take?",
    _PER_CALL,
    "Time that calls spent, divided by the number of calls that ended. Calls in flight are "
    "included, so it rises while calls hang. It has no value while no call ends; then see "
    "the stages.",
    of=[_TIME, _CALLS],
    unit="s",
    by=_OF,
)
TIME_PER_CALL_BEFORE = signal(
    "time_per_call_before",
    "How long did a call take an hour ago?",
    _HOUR_AGO,
    "Time per call one hour earlier.",
    of=[_TIME, _CALLS],
    unit="s",
    by=_OF,
)
_ENDED = f"sum{by()}({rate(_CALLS)}) * 600"
_IN_FLIGHT = f"sum{by()}({now(_CURRENT)})"
SLOWER = signal(
    "calls_slower",
    "How long do calls take, compared with an hour ago?",
    f"sum{by()}({rate(_TIME)}) * 600 / (({_ENDED} >= {_IN_FLIGHT} or {_IN_FLIGHT}) > 0) / "
    f"{_HOUR_AGO}",
    f"Time per call of the last {SLOW_WINDOW}, calls in flight included, divided by that of "
    "an hour ago. 100 % means unchanged.",
    of=[_TIME, _CALLS, _CURRENT],
    unit="ratio",
    by=_OF,
)
TIME_BY_STAGE = signal(
    "call_time_by_stage",
    "Where does a call's time go?",
    f"sum{by(_TIME, _STAGE)}({rate(_TIME)}) / ignoring(gluellm_call_stage) group_left() "
    f"(sum{by()}({rate(_CALLS)}) > 0)",
    f"Seconds of each stage for each call that ended. {_STAGES}",
    of=[_TIME, _CALLS],
    unit="s",
    by=(),
)
CURRENT_BY_STAGE = signal(
    "calls_by_stage",
    "How many calls are in which stage?",
    f"sum{by(_CURRENT, _STAGE)}({now(_CURRENT)})",
    f"Calls in flight now. {_STAGES}",
    of=[_CURRENT],
    by=(),
)
OLDEST_BY_STAGE = signal(
    "oldest_call_by_stage",
    "How long has a call been in its stage?",
    f"max{by('gluellm.call.oldest_age', _STAGE)}({now('gluellm.call.oldest_age')})",
    "Longest time that a call has been in each stage. A line that rises and never falls is "
    "one call that hangs.",
    of=["gluellm.call.oldest_age"],
    unit="s",
    by=(),
)
SILENCE = signal(
    "call_silence",
    "How long has a stream returned no item?",
    f"max{by()}({now('gluellm.call.silence.oldest_age')})",
    "Longest wait for the next item of a stream. Pings do not end it.",
    of=["gluellm.call.silence.oldest_age"],
    unit="s",
    by=(),
    on_event=True,
)
SILENT = signal(
    "calls_silent_now",
    "How many calls are silent?",
    f"sum{by()}({now('gluellm.call.silent')})",
    "Calls in flight that have waited for an answer, or for the next item of a stream, for "
    "much longer than any recent one. An alert pages if they are more than a fifth of the calls in "
    "flight: at least two calls, or one stream after ten minutes.",
    of=["gluellm.call.silent"],
    by=_OF,
)
OUTCOMES = signal(
    "call_outcomes",
    "How do calls end?",
    f"sum{by(_CALLS, 'gluellm.call.outcome')}({rate(_CALLS)})",
    "`cancelled`: a timeout of the application, or a user who left. `abandoned`: a stream "
    "that was closed or dropped before its end.",
    of=[_CALLS],
    unit="/s",
    by=(),
)
RETRIES_PER_CALL = signal(
    "retries_per_call",
    "How many retries are there per call?",
    f"sum{by()}({rate(_RETRIES)}) / (sum{by()}({rate(_CALLS)}) > 0)",
    "Retries per call. 100 % doubles the load on a provider that already fails. Reduce the "
    "attempts, or the number of concurrent calls.",
    of=[_RETRIES, _CALLS],
    unit="ratio",
    by=_OF,
)
DURATION_P95 = signal(
    "call_duration_p95",
    "How long do calls take (p95)?",
    quantile(0.95, _DURATION),
    "One of 20 calls took longer, including retries and the stream. Calls that hang are included "
    "only when they end.",
    of=[_DURATION],
    unit="s",
    by=_OF,
)

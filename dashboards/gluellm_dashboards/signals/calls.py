"""LLM calls: how they end, how long they take, and in which stage."""

from __future__ import annotations

from ..config import SLOW_WINDOW
from ..rules.questions import CALL_RATE
from .signal import Signal, by, now, of, quantile_of, rate, signal, total

_CALLS = "gluellm.calls"
_TIME = "gluellm.call.time"
_STAGE = "gluellm.call.stage"
_PER_CALL = f"({total(_TIME)} / ({total(_CALLS)} > 0))"
_HOUR_AGO = _PER_CALL.replace("[%window%]", "[%window%] offset 1h")

CALLS = Signal(CALL_RATE, "Model calls as the application makes them, however they ended.")
TIME_PER_CALL = signal(
    "time_per_call",
    _PER_CALL,
    "Time that calls spent, divided by the number of calls that ended. Calls in flight are "
    "included, so it rises while calls hang. It has no value while no call ends; then see "
    "the stages.",
    "s",
)
TIME_PER_CALL_BEFORE = signal(
    "time_per_call_before", _HOUR_AGO, "Time per call one hour earlier.", "s"
)
_ENDED = f"{total(_CALLS)} * 600"
_IN_FLIGHT = f"sum{by()}({now('gluellm.call.current')})"
_NOW = f"{total(_TIME)} * 600 / (({_ENDED} >= {_IN_FLIGHT} or {_IN_FLIGHT}) > 0)"
SLOWER = signal(
    "calls_slower",
    f"clamp_min({_NOW} / {_HOUR_AGO} - 1, 0)".replace("%window%", SLOW_WINDOW),
    f"Time per call of the last {SLOW_WINDOW}, calls in flight included, compared with "
    "that of an hour ago. 100 % means that calls take twice as long.",
    "ratio",
)
TIME_BY_STAGE = signal(
    "call_time_by_stage",
    f"sum{by(_TIME, _STAGE)}({rate(_TIME)}) / ignoring(gluellm_call_stage) group_left() "
    f"({total(_CALLS)} > 0)",
    "Seconds of each stage for each call that ended. `limited`: the call waits for GlueLLM's rate "
    "limiter (needs GlueLLM). `preparing`: the application prepares a request (client, TLS "
    "context, thread). `requesting`: a request is in flight; the panel beside shows its phase. "
    "`backoff`: a pause before a retry. `finishing`: the application works after a request. Calls "
    "of the source `http`, which no hook of an SDK sees, have `requesting` only.",
    "s",
)
OLDEST_BY_STAGE = of(
    "oldest_call_by_stage",
    "gluellm.call.oldest_age",
    "Longest time that a call has been in each stage. A line that rises and never falls is "
    "one call that hangs.",
    _STAGE,
    how="max",
)
SILENCE = of(
    "call_silence",
    "gluellm.call.silence.oldest_age",
    "Longest wait for the next item of a stream. Pings do not end it, but for the source `http`, "
    "whose items are not seen, any byte does.",
    how="max",
)
_SILENT = f"sum{by()}({now('gluellm.call.silent')})"
_FIND_IT = now("gluellm.finding.current", {"gluellm.finding.kind": "calls_silent"})
SILENT = signal(
    "calls_silent_now",
    f"{_SILENT} > count{by()}({_FIND_IT} == 1) or count{by()}({_FIND_IT} == 1) or {_SILENT}",
    "Calls in flight that have waited for an answer or item much longer than any recent one; or "
    "the instances that find `calls silent`, if these are more. An alert pages if over a fifth of "
    "the calls in flight are silent: at least two, or one stream after ten minutes.",
)
OUTCOMES = of(
    "call_outcomes",
    _CALLS,
    "`cancelled`: a timeout of the application, or a user who left. `abandoned`: a stream "
    "that was closed or dropped before its end.",
    "gluellm.call.outcome",
)
RETRIES_PER_CALL = signal(
    "retries_per_call",
    f"{total('gluellm.call.retries')} / ({total(_CALLS, {'gluellm.call.source': '!http'})} > 0)",
    "Retries per call. 100 % doubles the load on a provider that already fails. Reduce the "
    "attempts, or the number of concurrent calls. Calls of the source `http` are left out: each "
    "attempt is a call.",
    "ratio",
)
DURATION_P95 = quantile_of(
    "call_duration_p95",
    0.95,
    "gluellm.call.duration",
    "One of 20 calls that ended took longer, including retries and the stream.",
)

"""The nine alerts.

Five page: findings of severity error, failing and silent calls, stuck requests, and pool timeouts.

The processes judge themselves. Alerts ask for what they find, and for what only a whole service
shows. Thresholds are those of the library's ``thresholds.py``, windows those of `config`. Each
alert has a runbook, ``runbooks/<name>.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gluellm_pools.prometheus import metric_name
from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import Instrument, Metric

from .. import config, links
from ..query import Query
from . import conditions, expressions
from .alert import CRITICAL, WARNING, Alert, ask
from .conditions import HOOK_LIBRARY, PHASE
from .expressions import OF_CALLS, OF_FINDING, OF_POOL
from .questions import KIND_POOL, LIBRARY, at

INTERVAL: Final = "30s"
"""Time between two evaluations."""

_POOL: Final = "{{ $labels.gluellm_pool_name }} in {{ $labels.job }}"
_CALLS: Final = '{{ or $labels.gen_ai_provider_name "an unknown provider" }} in {{ $labels.job }}'
_SHARE: Final = "{{ $value | humanizePercentage }}"
_DURATION: Final = "{{ $value | humanizeDuration }}"
_NUMBER: Final = '{{ $value | printf "%.0f" }}'

_KIND: Final = '{{ reReplaceAll "_" " " $labels.gluellm_finding_kind }}'
_OF_PROVIDER: Final = (
    "{{ if $labels.gen_ai_provider_name }} of {{ $labels.gen_ai_provider_name }}{{ end }}"
)
_INSTANCES: Final = "{{ if eq $value 1.0 }}1 instance{{ else }}{{ $value }} instances{{ end }}"
_FAILED: Final = f"{conditions.FAILED},"
_CANCELLED: Final = f"{conditions.CANCELLED},"
_QUEUED: Final = f'{PHASE}="queued",'
_STREAM_QUEUED: Final = f'{PHASE}="stream_queued",'
_OF_POOL_TIMEOUT: Final = f"{KIND_POOL},"
_RUNNING: Final = ask("max by (job, instance) (target_info{%s})", (config.JOB, config.INSTANCE))
_LOWEST: Final = ask(
    f"1 / max by (job, instance) ({metric_name(semconv.CONNECTION_MAX)}{{%s}})", OF_POOL
)


def _finding(severity: str, name: str, findings: Query, hurts: str) -> Alert:
    current = metric_name(semconv.FINDING_CURRENT)
    active = f'max by (job, instance) ({current}{{{conditions.SEVERITY}="{severity}",%s}})'
    return Alert(
        name=name,
        severity=CRITICAL if severity == "error" else WARNING,
        expr=expressions.found(findings),
        hold="",
        labels=OF_FINDING,
        finds=True,
        summary=f"{_INSTANCES} of {{{{ $labels.job }}}} found: {_KIND}{_OF_PROVIDER}",
        description=(
            f"The diagnosis in {_INSTANCES} found this: {_KIND}{_OF_PROVIDER}. {hurts} The log of "
            "each instance has the numbers, the line of code and what to do."
        ),
        first=f"ask the process, on its host: {ask(active, OF_FINDING, 3)}.",
    )


def _worst(labels: tuple[str, ...], metric: Metric, own: str = "") -> str:
    """Return the template of the command for the instance with the largest value or increase."""
    series = f"{metric_name(metric)}{{{own}%s}}"
    if metric.instrument == Instrument.OBSERVABLE_COUNTER:
        return ask(f"sum by (job, instance) (increase({series}[{config.RATE_WINDOW}]))", labels)
    return ask(f"max by (job, instance) ({series})", labels)


ALERTS: Final = (
    _finding(
        "error",
        "GlueLLMFindingError",
        conditions.FINDING_ERROR,
        "Calls fail, hang or take many times as long as before.",
    ),
    _finding(
        "warning",
        "GlueLLMFindingWarning",
        conditions.FINDING_WARNING,
        "Calls are slower than before, or will fail if this continues.",
    ),
    Alert(
        name="GlueLLMCallsFail",
        severity=CRITICAL,
        kind="failed",
        expr=expressions.calls_fail(),
        summary=f"{_SHARE} of the calls to {_CALLS} fail",
        description=f"Within {config.RATE_WINDOW} ({config.QUIET_WINDOW} if there are few calls), "
        f"{_SHARE} of the calls failed. Cancelled calls do not count. The retries of SDKs are "
        "over, so users see these failures.",
        first="read the errors in the overview's panel 'Why do calls fail?'. 429 and 5xx come from "
        "the provider. With a timeout or a connection error, no complete answer arrived. An "
        "exception's name means an error in the application, GlueLLM or the SDK. "
        f"{_worst(OF_CALLS, semconv.CALLS, _FAILED)} reports the cause and the line of code.",
    ),
    Alert(
        name="GlueLLMCallsSilent",
        severity=CRITICAL,
        expr=expressions.calls_silent(),
        hold="2m",
        summary=f"{_SHARE} of the calls in flight to {_CALLS} are silent",
        description=f"{_SHARE} of the calls in flight have been waiting for an answer, or for the "
        "next item of a stream, for much longer than any recent call. Bytes without an "
        "item, such as pings, do not count. Users wait, and no timeout has ended these calls.",
        first=f"run {_worst(OF_CALLS, semconv.CALL_SILENT)}. It reports connections whose other "
        "end is gone. Send calls to another model, region or provider, and give calls a timeout.",
    ),
    Alert(
        name="GlueLLMCallsSlow",
        expr=expressions.calls_slow(),
        summary=f"Calls to {_CALLS} take {_DURATION} on average",
        description=f"A call took {_DURATION} on average, calls in flight included. Either this is "
        f"the average of {config.SLOW_WINDOW}, and more than {thresholds.CALL_SLOWER:g} times that "
        f"of the hour before. Or it is that of {3 * expressions.SLOW_MINUTES}m, and more than "
        f"{thresholds.CALL_SLOW_LIMIT:g} s.",
        first="read on the overview which stage of calls grew. limited and preparing are time of "
        "the application, backoff is a pause before a retry, requesting is the pool or the "
        f"provider. {_worst(OF_CALLS, semconv.CALL_TIME)} reports the cause.",
    ),
    Alert(
        name="GlueLLMCallsFail",
        kind="cancelled",
        expr=expressions.calls_cancelled(),
        summary=f"{_SHARE} of the calls to {_CALLS} are cancelled",
        description=f"{_SHARE} of the calls that ended within {config.RATE_WINDOW} "
        f"({config.QUIET_WINDOW} if there are few calls) were cancelled: by a timeout of the "
        "application, by its shutdown, or by users who left. They count neither as failed nor as "
        "succeeded.",
        first="compare the duration of calls on the overview with the timeouts that the "
        "application puts around them. If most calls are cancelled after the same time, a timeout "
        "cancels them. Then find out why calls are slow: "
        f"{_worst(OF_CALLS, semconv.CALLS, _CANCELLED)}.",
    ),
    Alert(
        name="GlueLLMRequestsStuck",
        severity=CRITICAL,
        kind="connection",
        expr=f"{at(OF_POOL, conditions.OLDEST_QUEUED)}\n  > {thresholds.STUCK_SEVERE_AFTER:g}",
        labels=OF_POOL,
        board=links.POOL,
        summary=f"Requests of pool {_POOL} have waited {_DURATION} for a connection",
        description=f"A request has been queued for {_DURATION} and is still waiting. All "
        "connections are held: by answers that nobody reads, by a slow provider, or by more load "
        "than the pool has connections for. The board shows which phase has grown.",
        first=f"run {_worst(OF_POOL, semconv.REQUEST_OLDEST_AGE, _QUEUED)}. It names the callers "
        "that hold the connections, with the line of code.",
    ),
    Alert(
        name="GlueLLMRequestsStuck",
        severity=CRITICAL,
        kind="stream",
        expr=(
            f"{at(OF_POOL, conditions.OLDEST_STREAM_QUEUED)}\n  > {thresholds.STUCK_SEVERE_AFTER:g}"
        ),
        labels=OF_POOL,
        board=links.POOL,
        summary=f"Requests of pool {_POOL} have waited {_DURATION} for an HTTP/2 stream",
        description=f"A request has a connection and has waited {_DURATION} for a stream on it. No "
        "timeout ends this wait. The connection is at the provider's limit of streams. Possible "
        "causes: unread answers, a slow provider, more calls than streams, or a lowered limit. "
        "A larger pool does not help.",
        first=f"run {_worst(OF_POOL, semconv.REQUEST_OLDEST_AGE, _STREAM_QUEUED)}. On the pool's "
        "board, compare the streams in use with the limit.",
    ),
    Alert(
        name="GlueLLMPoolTimeouts",
        severity=CRITICAL,
        expr=expressions.share_and_count(
            at(OF_POOL, conditions.POOL_TIMEOUTS),
            thresholds.POOL_TIMEOUT_SHARE,
            thresholds.POOL_TIMEOUT_ALERT_COUNT,
        ),
        labels=OF_POOL,
        board=links.POOL,
        summary=f"{_SHARE} of the requests of pool {_POOL} give up waiting for a connection",
        description=f"Within {config.RATE_WINDOW}, {_SHARE} of all requests ended in a pool "
        "timeout, before anything was sent. The note below PoolTimeout in the traceback lists the "
        "requests that held the connections.",
        first=f"run {_worst(OF_POOL, semconv.TIMEOUTS, _OF_POOL_TIMEOUT)}. It names the cause (a "
        "leak, a slow provider or a pool that is too small) and what to change. Enlarge the "
        "pool only if it is too small.",
    ),
    Alert(
        name="GlueLLMBlind",
        kind="missing_hook",
        expr=f"{at(config.SERVICE, conditions.HOOKS_MISSING)}\n  > 0",
        hold="5m",
        labels=(*config.SERVICE, HOOK_LIBRARY),
        summary=f"{{{{ $labels.job }}}} lacks {_NUMBER} hooks of "
        "{{ $labels.gluellm_hook_library }}",
        description="The installed version of {{ $labels.gluellm_hook_library }} lacks hooks, so "
        "metrics that depend on them are missing or too low, on boards and in alerts. The "
        "program's log names each hook.",
        first="update opentelemetry-instrumentation-gluellm, or pin "
        "{{ $labels.gluellm_hook_library }} to a version that "
        "docs/maintainers/compatibility.md lists.",
    ),
    Alert(
        name="GlueLLMBlind",
        kind="not_judged",
        expr=expressions.judges_no_more(),
        labels=config.PROCESS,
        board=links.FLEET,
        summary="{{ $labels.instance }} in {{ $labels.job }} does not judge itself any more",
        description=f"Requests were in flight for {config.JUDGED}, and the diagnosis in the "
        "process did not run once, so its findings are not known. Code that holds the interpreter "
        "lock, a stopped process and a failure of the diagnosis have this effect.",
        first=f"run {_worst(config.PROCESS, semconv.REQUEST_CURRENT)}. If it does not answer "
        "either, look at its threads with py-spy dump --pid PID.",
    ),
    Alert(
        name="GlueLLMBlind",
        kind="silent_instance",
        expr=expressions.went_silent(),
        hold="5m",
        labels=config.PROCESS,
        board=links.FLEET,
        summary="{{ $labels.instance }} in {{ $labels.job }} runs, but its pools report nothing",
        description="The instance still sends other series, but no metrics of its pools. No other "
        "alert can fire for them.",
        first=f"run {_RUNNING}. Look for uninstrument(), a view that drops these metrics, or "
        "another MeterProvider in the program.",
    ),
    Alert(
        name="GlueLLMBlind",
        kind="silent_service",
        expr=expressions.all_gone(),
        hold="15m",
        labels=config.SERVICE,
        board=links.FLEET,
        summary="No instance of {{ $labels.job }} reports",
        description=f"An hour ago, {_NUMBER} instances reported, and now none does. Either the "
        "service was stopped on purpose, or its telemetry does not arrive. The alert ends by "
        "itself one hour after the last instance stopped reporting.",
        first="if the service should be running, look for failed exports in its log, then in the "
        "Collector's.",
    ),
    Alert(
        name="GlueLLMLimitDiffers",
        expr=expressions.limit_differs(),
        hold="15m",
        labels=(*OF_POOL, LIBRARY),
        board=links.FLEET,
        summary=f"Instances differ in the limit of pool {_POOL}",
        description=f"The smallest limit of a pool is {_NUMBER}; other instances have a larger "
        "one, or none. The cause is usually a deploy with another configuration, or one that did "
        "not reach every instance.",
        first="compare the versions and environments of the instances on the fleet board. What set "
        f"the limit: {_LOWEST}, at limits_from.",
    ),
)


def _is_alone(alert: Alert) -> bool:
    """Return whether an alert uses no recorded series."""
    return not any(one.rule["record"] in alert.rule["expr"] for one in expressions.RECORDED)


def group() -> Mapping[str, Any]:
    """Return the rule group in the format of Prometheus."""
    return {
        "name": "gluellm-alerts",
        "interval": INTERVAL,
        # In this order: Mimir takes 20 rules in a group, and what rests on recorded series has to
        # follow these in their group.
        "rules": [
            *(one.rule for one in expressions.RECORDED),
            *(alert.rule for alert in sorted(ALERTS, key=_is_alone)),
        ],
    }

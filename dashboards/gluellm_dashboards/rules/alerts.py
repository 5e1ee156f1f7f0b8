"""The alerts. Four page: failing calls, silent calls, stuck requests, and pool timeouts.

Thresholds are those of the library's ``thresholds.py``, windows those of `config`. Each alert has a
runbook, ``runbooks/<name>.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.instrumentation.gluellm import thresholds

from .. import config, links
from . import conditions, expressions
from .alert import COMMAND, CRITICAL, INFO, WARNING, Alert
from .conditions import ANOMALY_TYPE, HOOK_LIBRARY
from .expressions import OF_CALLS, OF_POOL
from .questions import LIBRARY, at

INTERVAL: Final = "30s"
"""Time between two evaluations."""

_POOL: Final = "{{ $labels.gluellm_pool_name }} in {{ $labels.job }}"
_CALLS: Final = '{{ or $labels.gen_ai_provider_name "an unknown provider" }} in {{ $labels.job }}'
_SHARE: Final = "{{ $value | humanizePercentage }}"
_DURATION: Final = "{{ $value | humanizeDuration }}"
_NUMBER: Final = '{{ $value | printf "%.0f" }}'

ALERTS: Final = (
    Alert(
        name="GlueLLMCallsFail",
        severity=CRITICAL,
        expr=expressions.share_of_calls(
            conditions.FAILED, conditions.FAILED_OR_NOT, thresholds.CALL_FAILURE_ALERT_SHARE
        ),
        hold="1m",
        labels=OF_CALLS,
        board=links.OVERVIEW,
        summary=f"{_SHARE} of the calls to {_CALLS} fail",
        description=(
            f"Within {config.RATE_WINDOW} ({config.QUIET_WINDOW} if there are few calls), {_SHARE} "
            "of the calls failed. Cancelled calls do not count. Retries are over, so users see "
            "these failures."
        ),
        first=(
            'read the errors in the overview\'s panel "Why do calls fail?". 429 and 5xx come from '
            "the provider. With a timeout or a connection error, no complete answer arrived. An "
            "exception's name means an error in the application, GlueLLM or the SDK. "
            f"{COMMAND} on an instance reports the cause and the line of code."
        ),
    ),
    Alert(
        name="GlueLLMCallsSilent",
        severity=CRITICAL,
        expr=expressions.calls_silent(),
        hold="2m",
        labels=OF_CALLS,
        board=links.OVERVIEW,
        summary=f"{_SHARE} of the calls in flight to {_CALLS} are silent",
        description=(
            f"{_SHARE} of the calls in flight have been waiting for an answer, or for the next "
            "item of a stream, for much longer than any recent call. Bytes without an "
            "item, such as pings, do not count. Users wait, and no timeout has ended these calls."
        ),
        first=(
            f"run {COMMAND} on an instance. It reports connections whose other end is gone. Send "
            "calls to another model, region or provider, and give calls a timeout."
        ),
    ),
    Alert(
        name="GlueLLMCallsSlow",
        severity=WARNING,
        symptom=True,
        expr=expressions.calls_slow(),
        hold="1m",
        labels=OF_CALLS,
        board=links.OVERVIEW,
        summary=f"Calls to {_CALLS} take {_DURATION} on average",
        description=(
            f"A call took {_DURATION} on average, calls in flight included. Either this is the "
            f"average of {config.SLOW_WINDOW}, and more than {thresholds.CALL_SLOWER:g} times that "
            f"of the hour before. Or it is that of {3 * expressions.SLOW_MINUTES}m, and more than "
            f"{thresholds.CALL_SLOW_LIMIT:g} s."
        ),
        first=(
            "read on the overview which stage of calls grew. limited and preparing are time of the "
            "application, backoff is a pause before a retry, requesting is the pool or the "
            f"provider. {COMMAND} on an instance reports the cause."
        ),
    ),
    Alert(
        name="GlueLLMCallsCancelled",
        severity=WARNING,
        expr=expressions.share_of_calls(conditions.CANCELLED, "", thresholds.CALL_CANCELLED_SHARE),
        hold="1m",
        labels=OF_CALLS,
        board=links.OVERVIEW,
        summary=f"{_SHARE} of the calls to {_CALLS} are cancelled",
        description=(
            f"{_SHARE} of the calls that ended within {config.RATE_WINDOW} ({config.QUIET_WINDOW} "
            "if there are few calls) were cancelled: by a timeout of the application, by its "
            "shutdown, or by users who left. They count neither as failed nor as succeeded."
        ),
        first=(
            "compare the duration of calls on the overview with the timeouts that the application "
            "puts around them. If most calls are cancelled after the same time, a timeout cancels "
            f"them. Then find out why calls are slow: {COMMAND} on an instance."
        ),
    ),
    Alert(
        name="GlueLLMRequestsStuck",
        severity=CRITICAL,
        kind="connection",
        expr=f"{at(OF_POOL, conditions.OLDEST_QUEUED)}\n  > {thresholds.STUCK_ALERT_AFTER:g}",
        hold="1m",
        labels=OF_POOL,
        summary=f"Requests of pool {_POOL} have waited {_DURATION} for a connection",
        description=(
            f"A request has been queued for {_DURATION} and is still waiting. All connections are "
            "held: by answers that nobody reads, by a slow provider, or by more load than the pool "
            "has connections for. The board shows which phase has grown."
        ),
        first=(
            f"run {COMMAND} on the instance with the oldest waiter. It names the callers that hold "
            "the connections, with the line of code."
        ),
    ),
    Alert(
        name="GlueLLMRequestsStuck",
        severity=CRITICAL,
        kind="stream",
        expr=(
            f"{at(OF_POOL, conditions.OLDEST_STREAM_QUEUED)}\n  > {thresholds.STUCK_ALERT_AFTER:g}"
        ),
        hold="1m",
        labels=OF_POOL,
        summary=f"Requests of pool {_POOL} have waited {_DURATION} for an HTTP/2 stream",
        description=(
            f"A request has a connection and has waited {_DURATION} for a stream on it. No timeout "
            "ends this wait. The connection is at the provider's limit of streams. Possible "
            "causes: unread answers, a slow provider, more calls than streams, or a lowered limit. "
            "A larger pool does not help."
        ),
        first=(
            f"run {COMMAND} on the instance with the oldest waiter. On the pool's board, compare "
            "the streams in use with the limit."
        ),
    ),
    Alert(
        name="GlueLLMPoolTimeouts",
        severity=CRITICAL,
        expr=expressions.share_and_count(
            at(OF_POOL, conditions.POOL_TIMEOUTS),
            thresholds.POOL_TIMEOUT_SHARE,
            thresholds.POOL_TIMEOUT_ALERT_COUNT,
        ),
        hold="1m",
        labels=OF_POOL,
        summary=f"{_SHARE} of the requests of pool {_POOL} give up waiting for a connection",
        description=(
            f"Within {config.RATE_WINDOW}, {_SHARE} of all requests ended in a pool timeout, "
            "before anything was sent. The note below PoolTimeout in the traceback lists the "
            "requests that held the connections."
        ),
        first=(
            f"run {COMMAND} on an instance. It names the cause (a leak, a slow provider or a pool "
            "that is too small) and what to change. Enlarge the pool only if it is too small."
        ),
    ),
    Alert(
        name="GlueLLMWaitNearTimeout",
        severity=WARNING,
        symptom=True,
        expr=expressions.wait_near_timeout(),
        hold="2m",
        labels=OF_POOL,
        summary=f"Requests of pool {_POOL} use up {_SHARE} of the pool timeout",
        description=(
            f"One of 100 requests uses up {_SHARE} of the pool timeout or more while it waits. "
            "With a little more load, calls fail."
        ),
        first=(
            f"run {COMMAND} on an instance. It compares the size of the pool with the load. If the "
            "pool is too small, it recommends a size."
        ),
    ),
    Alert(
        name="GlueLLMConnectionLeakSuspected",
        severity=WARNING,
        expr=expressions.leak(),
        hold="2m",
        labels=OF_POOL,
        summary=f"{_NUMBER} connections of pool {_POOL} are held by unread answers",
        description=(
            f"{_NUMBER} connections (the sum over the affected instances) have been held for "
            "longer than the leak threshold while nobody reads their answers."
        ),
        first=(
            f"take the line of code from the warning in the log, or from {COMMAND}, and read or "
            "close the stream there. Until then, a restart frees the connections."
        ),
    ),
    Alert(
        name="GlueLLMConnectFailures",
        severity=WARNING,
        expr=expressions.share_and_count(
            at(OF_POOL, conditions.CONNECT_FAILURES),
            thresholds.CONNECT_FAILURE_ALERT_SHARE,
            thresholds.CONNECT_FAILURE_ALERT_COUNT,
        ),
        hold="1m",
        labels=OF_POOL,
        board=links.PROVIDER,
        summary=f"{_SHARE} of the requests of pool {_POOL} can't connect",
        description=(
            f"Within {config.RATE_WINDOW}, {_SHARE} of all requests failed because no connection "
            "could be established."
        ),
        first=(
            "read the kind of failure on the provider's board: DNS, a refusal, a firewall "
            "(connect_timeout) or TLS. Then connect to the same address from a pod of the service."
        ),
    ),
    Alert(
        name="GlueLLMReuseFailures",
        severity=WARNING,
        expr=expressions.share_and_count(
            at(OF_POOL, conditions.REUSE_FAILURES),
            thresholds.REUSE_FAILURE_ALERT_SHARE,
            thresholds.REUSE_FAILURE_ALERT_COUNT,
        ),
        hold="1m",
        labels=OF_POOL,
        summary=f"{_SHARE} of the requests of pool {_POOL} fail on a reused connection",
        description=(
            f"Within {config.RATE_WINDOW}, {_SHARE} of all requests failed on a reused connection "
            "before the first byte of an answer. A load balancer or address translator on the path "
            "drops idle connections, or a forked process uses the same client."
        ),
        first=(
            "let the pool close idle connections before the load balancer or address translator "
            f"drops them, or send TCP keep-alive probes. {COMMAND} names the setting."
        ),
    ),
    Alert(
        name="GlueLLMHttp2StreamsOrphaned",
        severity=WARNING,
        expr=expressions.orphaned(),
        hold="2m",
        labels=OF_POOL,
        summary=f"{_NUMBER} HTTP/2 streams of pool {_POOL} are held by cancelled requests",
        description=(
            f"{_NUMBER} streams of cancelled requests still count against the provider's limit. "
            "When these and the requests in flight reach it, requests fail with protocol_error."
        ),
        first=(
            "use HTTP/1.1 for this provider, or let requests end instead of cancelling them. "
            f"{COMMAND} names the setting. A restart frees the streams."
        ),
    ),
    Alert(
        name="GlueLLMEventLoopBlocked",
        severity=WARNING,
        expr=f"{at(config.PROCESS, conditions.LOOP_LATE)}\n  > {thresholds.LATE_SHARE:g}",
        hold="1m",
        labels=config.PROCESS,
        board=links.OVERVIEW,
        summary="An event loop of {{ $labels.instance }} in {{ $labels.job }} is blocked for "
        f"{_SHARE} of the time",
        description=(
            f"Within {config.RATE_WINDOW}, timers on an event loop were late for {_SHARE} of the "
            "time: blocking code runs on it, or the process gets too little CPU. This makes pools "
            "look too small and providers look slow, so do not trust their numbers until it is "
            "fixed."
        ),
        first=(
            f"run {COMMAND} on the instance while the loop is late. It names the cause, and the "
            "line of code that blocks the loop."
        ),
    ),
    Alert(
        name="GlueLLMBlind",
        severity=WARNING,
        kind="missing_hook",
        expr=f"{at(config.SERVICE, conditions.HOOKS_MISSING)}\n  > 0",
        hold="5m",
        labels=(*config.SERVICE, HOOK_LIBRARY),
        board=links.OVERVIEW,
        summary=f"{{{{ $labels.job }}}} lacks {_NUMBER} hooks of "
        "{{ $labels.gluellm_hook_library }}",
        description=(
            "The installed version of {{ $labels.gluellm_hook_library }} lacks hooks, so metrics "
            "that depend on them are missing or too low, on boards and in alerts. The program's "
            "log names each hook."
        ),
        first=(
            "update opentelemetry-instrumentation-gluellm, or pin "
            "{{ $labels.gluellm_hook_library }} to a version that "
            "docs/maintainers/compatibility.md lists."
        ),
    ),
    Alert(
        name="GlueLLMBlind",
        severity=WARNING,
        kind="silent_instance",
        expr=expressions.went_silent(),
        hold="5m",
        labels=config.PROCESS,
        board=links.FLEET,
        summary="{{ $labels.instance }} in {{ $labels.job }} runs, but its pools report nothing",
        description=(
            "The instance still sends other series, but no metrics of its pools. No other alert "
            "can fire for them."
        ),
        first=(
            "look for uninstrument(), a view that drops these metrics, or another MeterProvider in "
            "the program."
        ),
    ),
    Alert(
        name="GlueLLMBlind",
        severity=WARNING,
        kind="silent_service",
        expr=expressions.all_gone(),
        hold="15m",
        labels=config.SERVICE,
        board=links.FLEET,
        summary="No instance of {{ $labels.job }} reports",
        description=(
            f"An hour ago, {_NUMBER} instances reported, and now none does. Either the service was "
            "stopped on purpose, or its telemetry does not arrive. The alert ends by itself one "
            "hour after the last instance stopped reporting."
        ),
        first=(
            "if the service should be running, look for failed exports in its log, then in the "
            "Collector's."
        ),
    ),
    Alert(
        name="GlueLLMPoolAnomaly",
        severity=WARNING,
        expr=f"{at(OF_POOL, conditions.ANOMALIES)}\n  > 0",
        hold="1m",
        labels=(*OF_POOL, ANOMALY_TYPE),
        summary=f"Pool {_POOL} was in an invalid state: {{{{ $labels.gluellm_anomaly_type }}}}",
        description=(
            f"{{{{ $labels.gluellm_anomaly_type }}}} was detected in the last "
            f"{config.ANOMALY_WINDOW}. wrong_event_loop: requests failed because their client is "
            "used on a second event loop. All other types are faults of the HTTP library's pool, "
            "which can leave requests waiting forever."
        ),
        first=(
            "for wrong_event_loop, use each client in one loop; the log has both call sites. For "
            "other types, update the HTTP library, and restart the instance if requests stay stuck."
        ),
    ),
    Alert(
        name="GlueLLMLimitDiffers",
        severity=WARNING,
        expr=expressions.limit_differs(),
        hold="15m",
        labels=(*OF_POOL, LIBRARY),
        board=links.FLEET,
        summary=f"Instances differ in the limit of pool {_POOL}",
        description=(
            f"The smallest limit of a pool is {_NUMBER}; other instances have a larger one, or "
            "none. The cause is usually a deploy with another configuration, or one that did not "
            "reach every instance."
        ),
        first=("compare the versions and environments of the instances on the fleet board."),
    ),
    Alert(
        name="GlueLLMClientChurn",
        severity=INFO,
        expr=expressions.churn(),
        hold="2m",
        labels=OF_POOL,
        summary=f"Pools named {_POOL} serve {{{{ $value | humanize }}}} requests each",
        description=(
            "A client is built for every request or two. Each one has to establish its own "
            "connection, and no limit applies across clients."
        ),
        first=(
            "read in the log's warning which line builds the clients. Build one client at start-up "
            "instead."
        ),
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

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
"""Between two evaluations."""

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
            f"{_SHARE} of the calls that failed or succeeded within {config.RATE_WINDOW} failed "
            f"(within {config.QUIET_WINDOW} if there are few calls). Nothing retries them now, so "
            "users see these failures."
        ),
        first=(
            "read the errors in the overview's panel Why do calls fail. 429 and 5xx come from the "
            "provider, timeouts and connection errors from the path before an answer, and names of "
            f"exceptions from the application or its SDK. {COMMAND} on an instance reports the "
            "cause and the line of code."
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
            f"Within {config.SLOW_WINDOW}, a call took {_DURATION} on average, calls in flight "
            f"included. That is over {thresholds.CALL_SLOWER:g} times as long as in the hour "
            f"before, or over {thresholds.CALL_SLOW_LIMIT:g} s."
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
            f"{_SHARE} of the calls that ended within {config.RATE_WINDOW} were cancelled (within "
            f"{config.QUIET_WINDOW} if there are few calls): by a timeout of the application, by "
            "its shutdown, or by users who left. They count neither as failed nor as succeeded."
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
            f"A request has been in the queue for {_DURATION} and goes on waiting. Something holds "
            "all connections: answers that nobody reads, a slow provider, or a pool that is too "
            "small. The time per phase tells which."
        ),
        first=(
            f"run {COMMAND} on the instance whose oldest waiter is highest. It names the callers "
            "that hold the connections, with the line of code."
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
            f"A request has its connection and has waited {_DURATION} for a stream on it, which no "
            "timeout ends. The connection is at the provider's limit of streams. Possible causes: "
            "unread answers, a slow provider, streams of cancelled requests, or a lowered limit. A "
            "larger pool does not help."
        ),
        first=(
            f"run {COMMAND} on the instance whose oldest waiter is highest, and compare the pool's "
            "streams in use and orphaned with their limit on its board."
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
            f"Within {config.RATE_WINDOW}, {_SHARE} of all requests ended in a pool timeout: calls "
            "fail before anything is sent. The note under PoolTimeout in the traceback says who "
            "held the connections."
        ),
        first=(
            f"run {COMMAND} on an instance. It names the cause, a leak, a slow provider or the "
            "pool's size, and what to change. A larger pool only helps against the last."
        ),
    ),
    Alert(
        name="GlueLLMWaitNearTimeout",
        severity=WARNING,
        symptom=True,
        expr=expressions.wait_near_timeout(),
        hold="2m",
        labels=OF_POOL,
        summary=f"Requests of pool {_POOL} wait for {_SHARE} of the pool timeout",
        description=(
            f"One of 100 requests waits for {_SHARE} of the time after which it would fail. A "
            "little more load, and calls fail with a pool timeout."
        ),
        first=(
            f"run {COMMAND} on an instance. It compares the time that connections are held with "
            "their number. If the pool is too small, it names the size to set."
        ),
    ),
    Alert(
        name="GlueLLMConnectionLeakSuspected",
        severity=WARNING,
        expr=expressions.leak(),
        hold="2m",
        labels=OF_POOL,
        summary=f"{_NUMBER} connections of pool {_POOL} are held by answers that nobody reads",
        description=(
            f"{_NUMBER} connections, over the instances concerned, have been held for longer than "
            "the leak threshold with nobody reading. They don't come back by themselves. The log "
            "names the line that holds them."
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
            f"Within {config.RATE_WINDOW}, {_SHARE} of all requests ended because no connection "
            "could be established. Whether it is DNS, a refusal, a firewall or TLS stands on the "
            "provider's board."
        ),
        first=(
            "see the kind of failure on the provider's board: DNS, a refusal, a firewall "
            "(connect_timeout) or TLS. Then connect to the same address from a pod of the "
            "service."
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
            "before a byte of an answer came. Something between here and the provider drops idle "
            "connections."
        ),
        first=(
            "keep idle connections for less long than the load balancer or address translator "
            f"in between does. {COMMAND} names the setting."
        ),
    ),
    Alert(
        name="GlueLLMHttp2StreamsOrphaned",
        severity=WARNING,
        expr=expressions.orphaned(),
        hold="2m",
        labels=OF_POOL,
        summary=f"{_NUMBER} HTTP/2 streams of pool {_POOL} are taken and lead nowhere",
        description=(
            f"{_NUMBER} streams, whose requests were cancelled, still count against the provider's "
            "limit. When it is reached, requests wait for a stream, and no timeout ends that."
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
            "time: something on it blocks instead of awaiting. That makes pools look too small and "
            "providers slow, so their numbers prove nothing until this is fixed."
        ),
        first=(
            f"run {COMMAND} on the instance while it lasts. It prints the line that blocks the "
            "loop."
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
            "compare the installed version with docs/compatibility.md. Update this package, or "
            "pin a version that is listed there."
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
        summary="{{ $labels.instance }} in {{ $labels.job }} lives, and its pools report nothing",
        description=(
            "The instance is there, since other series of it still arrive, but the metrics of its "
            "pools have stopped. Nothing about them is known, and no other alert can fire."
        ),
        first=(
            "look for failed exports in the log of the instance, then in that of the Collector."
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
        summary="No instance of {{ $labels.job }} reports any more",
        description=(
            f"An hour ago {_NUMBER} instances reported, and now none does. Either the service was "
            "taken down on purpose, or its telemetry doesn't arrive. It ends by itself an hour "
            "after the last instance went."
        ),
        first=(
            "if the service should run, look for failed exports in its log, then in that of the "
            "Collector."
        ),
    ),
    Alert(
        name="GlueLLMPoolAnomaly",
        severity=WARNING,
        expr=f"{at(OF_POOL, conditions.ANOMALIES)}\n  > 0",
        hold="1m",
        labels=(*OF_POOL, ANOMALY_TYPE),
        summary=f"Pool {_POOL} was in a state that should never be: "
        "{{ $labels.gluellm_anomaly_type }}",
        description=(
            f"{{{{ $labels.gluellm_anomaly_type }}}} was seen in the last {config.ANOMALY_WINDOW}. "
            "wrong_event_loop: requests failed since their client is used on a second event loop. "
            "Any other: a fault in the HTTP library's pool, which can leave requests waiting for "
            "ever."
        ),
        first=(
            "wrong_event_loop: use each client in one loop; the log has both call sites. Any "
            "other: update the HTTP library, and restart the instance if requests stay stuck."
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
            "none. A deploy with another configuration, or one that did not reach every instance."
        ),
        first=("compare version and environment of the instances on the fleet's board."),
    ),
    Alert(
        name="GlueLLMClientChurn",
        severity=INFO,
        expr=expressions.churn(),
        hold="2m",
        labels=OF_POOL,
        summary=f"Pools named {_POOL} serve {{{{ $value | humanize }}}} requests each",
        description=(
            "A client is built for every request or two: each pays for a connection of its own, "
            "and no limit bounds them. Keep one client for the life of the process."
        ),
        first=(
            "take the line that builds the clients from the warning in the log, and build one "
            "client there."
        ),
    ),
)


def _is_alone(alert: Alert) -> bool:
    """Whether an alert uses no recorded series."""
    return not any(one.rule["record"] in alert.rule["expr"] for one in expressions.RECORDED)


def group() -> Mapping[str, Any]:
    """The rule group, as Prometheus reads it."""
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

"""Conditions of alerts that combine several queries."""

from __future__ import annotations

from typing import Final

from gluellm_pools.prometheus import label_name
from opentelemetry.instrumentation.gluellm import thresholds
from opentelemetry.instrumentation.gluellm.telemetry import semconv

from .. import config
from ..query import POOL, PROVIDER
from . import conditions
from .questions import LIBRARY, WAIT_P99, at
from .recording import INSTANCE_POOL, SERVICE_PROVIDER, Recorded

OF_POOL: Final = (*config.SERVICE, *POOL)
"""Labels of an alert about a pool of a service, without the instance."""
OF_INSTANCE: Final = (*config.PROCESS, *POOL)
"""Labels of a pool of one process, by which limits, leaks and churn are judged."""
_NAME: Final = label_name(semconv.POOL_NAME)
NAME: Final = (*config.SERVICE, _NAME)
"""Labels that match a metric of a pool with one of its origins: a pool that several providers share
has no provider, but its origins have."""
NAME_IN_INSTANCE: Final = (*config.PROCESS, _NAME)
OF_CALLS: Final = (*config.SERVICE, PROVIDER)
"""The labels of an alert about calls, whatever their source is."""
REQUESTS: Final = Recorded(conditions.REQUESTS, INSTANCE_POOL, f"events{config.RATE_WINDOW}")
CALLS: Final = Recorded(conditions.CALLS, SERVICE_PROVIDER, f"events{config.RATE_WINDOW}")
CALLS_OF_QUIET: Final = Recorded(
    conditions.CALLS_OF_QUIET, SERVICE_PROVIDER, f"events{config.QUIET_WINDOW}"
)
CALLS_OF_SLOW: Final = Recorded(
    conditions.CALLS_OF_SLOW, SERVICE_PROVIDER, f"events{config.SLOW_WINDOW}"
)
CALL_TIME: Final = Recorded(conditions.CALL_TIME, SERVICE_PROVIDER, f"events{config.SLOW_WINDOW}")
RECORDED: Final = (REQUESTS, CALLS, CALLS_OF_QUIET, CALLS_OF_SLOW, CALL_TIME)
"""Series that are recorded once for all alerts that use them, since they have the most raw series.
The time of calls is also recorded, as the baseline of GlueLLMCallsSlow."""


SLOW_MINUTES: Final = int(config.SLOW_WINDOW.removesuffix("m"))


def _by(labels: tuple[str, ...]) -> str:
    return f"by ({', '.join(labels)})"


def share_and_count(events: str, share: float, count: int) -> str:
    """Return the condition on a share of the ended requests and on a least number of events."""
    return f"({events} >= {count})\n  / sum {_by(OF_POOL)} ({REQUESTS.name})\n  > {share:g}"


def share_of_calls(part: str, among: str, share: float) -> str:
    """Return the condition on a share of calls; the window is longer for few calls."""

    def over(calls: Recorded, count: int, share: float) -> str:
        counted, all_of_them = (
            f"sum {_by(OF_CALLS)} ({calls.name}{matching})"
            for matching in (f"{{{part}}}", f"{{{among}}}" if among else "")
        )
        return f"({counted} >= {count})\n  / {all_of_them}\n  > {share:g}"

    often = over(CALLS, thresholds.CALL_ALERT_COUNT, share)
    return f"{often}\nor\n" + over(
        CALLS_OF_QUIET, thresholds.CALL_QUIET_COUNT, thresholds.CALL_QUIET_SHARE
    )


def calls_slow() -> str:
    """Return the condition that calls are slow compared with the hour before, or in any case.

    The relative condition divides the time of all calls by the number of calls that ended or are in
    flight, whichever is larger. Otherwise a first batch of long calls, of which none has ended,
    would look slow.

    The absolute condition has no baseline that would cancel out chance, so it divides by the sum of
    both. It covers three windows, since one contains only a part of a long call. The result never
    exceeds the longest call.
    """

    def of_three(recorded: str) -> str:
        earlier = (
            f"({recorded} offset {minutes}m or 0 * {recorded})"
            for minutes in (SLOW_MINUTES, 2 * SLOW_MINUTES)
        )
        return f"({' + '.join([recorded, *earlier])})"

    time, ended = CALL_TIME.name, CALLS_OF_SLOW.name
    in_flight = at(OF_CALLS, conditions.CALLS_IN_FLIGHT)
    before = f"[{config.BASELINE_WINDOW}] offset {config.SLOW_WINDOW}"
    count = thresholds.CALL_QUIET_COUNT
    return (
        f"({time} >= {thresholds.CALL_SLOW_TIME:g}\n"
        f"  and {time} >= {thresholds.CALL_SLOW_BUSY:g} * avg_over_time({time}{before}))\n"
        f"  / (({ended} >= {in_flight} or {in_flight} or {ended}) >= {count})\n"
        f"  > {thresholds.CALL_SLOWER:g}\n"
        f"  * (avg_over_time({time}{before}) / avg_over_time({ended}{before}))\n"
        f"or\n{of_three(time)}\n"
        f"  / (({of_three(ended)} + {in_flight}) >= {count})\n"
        f"  > {thresholds.CALL_SLOW_LIMIT:g}"
    )


def calls_silent() -> str:
    """Return the condition on the share and number of silent calls.

    A single silent call can be thinking for longer than the calls before it.
    """
    silent = at(OF_CALLS, conditions.CALLS_SILENT)
    longest = at(OF_CALLS, conditions.LONGEST_SILENCE)
    return (
        f"(\n  {silent} >= {thresholds.CALL_SILENT_ALERT_COUNT}\n"
        f"  or\n  ({silent} > 0 and {longest} >= {thresholds.CALL_SILENT_FIRST:g})\n)\n"
        f"  / {at(OF_CALLS, conditions.CALLS_IN_FLIGHT)}\n  > {thresholds.CALL_SILENT_SHARE:g}"
    )


def wait_near_timeout() -> str:
    """Return the condition on p99 and the shortest timeout, with enough requests for a p99."""
    return (
        f"({at(OF_POOL, WAIT_P99)})\n"
        f"  / on ({', '.join(NAME)}) group_left () {at(NAME, conditions.SHORTEST_TIMEOUT)}\n"
        f"  > {thresholds.NEAR_TIMEOUT_SHARE:g}\n"
        f"and\n{at(OF_POOL, conditions.REQUESTS_IN_RATES)}\n  >= {thresholds.NEAR_TIMEOUT_REQUESTS}"
    )


def leak() -> str:
    """Return the condition on leaks: a share of the limit; or several, without a limit or new."""
    leaked, limit = at(OF_INSTANCE, conditions.LEAKED), at(OF_INSTANCE, conditions.LIMIT)
    new = at(OF_INSTANCE, conditions.LEAKS)
    several = f"{leaked} >= {thresholds.LEAK_ALERT_COUNT}"
    return (
        f"sum {_by(OF_POOL)} (\n"
        f"  ({leaked} > 0)\n    >= {thresholds.LEAK_ALERT_SHARE:g} * {limit}\n"
        f"  or\n  ({several} unless {limit})\n"
        f"  or\n  ({several} and {new} >= {thresholds.LEAK_ALERT_COUNT})\n)"
    )


def orphaned() -> str:
    """Return the condition on streams: a share of the peer's limit, else several."""
    orphaned = at(OF_INSTANCE, conditions.STREAMS_ORPHANED)
    limit = f"({at(OF_INSTANCE, conditions.STREAMS_MAX)} > 0)"
    return (
        f"sum {_by(OF_POOL)} (\n"
        f"  ({orphaned} > 0)\n    >= {thresholds.ORPHANED_SHARE:g} * {limit}\n"
        f"  or\n  ({orphaned} >= {thresholds.ORPHANED_ALERT_COUNT} unless {limit})\n)"
    )


def limit_differs() -> str:
    """Return the condition on limits that differ between instances; no limit also differs."""
    labels = _by((*OF_POOL, LIBRARY))
    there = at(OF_INSTANCE, conditions.POOLS)
    limit = at(OF_INSTANCE, conditions.LIMIT_OF_A_POOL)
    return f"min {labels} ({limit})\n  < max {labels} ({limit} or {there} * Inf)"


def churn() -> str:
    """Return the condition on churn, per instance, since a deploy opens pools on many at once."""
    opened = at(OF_INSTANCE, conditions.POOLS_OPENED)
    return (
        f"min {_by(OF_POOL)} (\n"
        f"  sum {_by(NAME_IN_INSTANCE)} ({REQUESTS.name})\n"
        f"    / on ({', '.join(NAME_IN_INSTANCE)}) group_right () "
        f"({opened} >= {thresholds.CHURN_POOLS})\n"
        f"    < {thresholds.CHURN_REQUESTS_PER_POOL:g}\n)"
    )


def went_silent() -> str:
    """Return the condition on an instance that sends other series, or still answers scrapes.

    The names of instance and service identify it, as in `up`: the cluster and namespace can be
    missing for a while after a Collector starts, and an instance elsewhere may have the same name.
    """
    identity = _by((config.JOB, config.INSTANCE))
    others = (
        f"max {identity} (last_over_time(target_info[{config.FRESH}])) "
        f"or max {identity} (last_over_time(up[{config.FRESH}]) == 1)"
    )
    return (
        f"{at(config.PROCESS, conditions.REPORTED)}\n"
        f"unless on ({config.JOB}, {config.INSTANCE}) "
        f"{at(config.PROCESS, conditions.REPORTING)}\n"
        f"and on ({config.JOB}, {config.INSTANCE}) (\n  {others}\n)"
    )


def all_gone() -> str:
    """Return the condition on a service that reported one and two hours ago, and no longer does."""
    before = at(config.PROCESS, conditions.REPORTED_BEFORE)
    return (
        f"count {_by(config.SERVICE)} ({before})\n"
        f"and {at(config.SERVICE, conditions.REPORTED_LONG_BEFORE)}\n"
        f"unless {at(config.SERVICE, conditions.REPORTING)}"
    )

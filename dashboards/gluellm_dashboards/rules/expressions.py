"""Conditions of alerts that combine several queries."""

from __future__ import annotations

from typing import Final

from opentelemetry.instrumentation.gluellm import thresholds

from .. import config
from ..query import POOL, PROVIDER, Query
from . import conditions
from .questions import LIBRARY, at
from .recording import INSTANCE_POOL, SERVICE_PROVIDER, Level, Recorded

OF_POOL: Final = (*config.SERVICE, *POOL)
"""Labels of an alert about a pool of a service, without the instance."""
OF_INSTANCE: Final = (*config.PROCESS, *POOL)
"""Labels of a pool of one process, by which limits are compared."""
OF_FINDING: Final = (*config.SERVICE, PROVIDER, conditions.FINDING_KIND)
"""Labels of an alert about a finding."""
OF_CALLS: Final = (*config.SERVICE, PROVIDER)
"""The labels of an alert about calls, whatever their source is."""


def _events(query: Query, window: str, level: Level = SERVICE_PROVIDER) -> Recorded:
    return Recorded(query, level, f"events{window}")


REQUESTS: Final = _events(conditions.REQUESTS, config.RATE_WINDOW, INSTANCE_POOL)
CALLS: Final = _events(conditions.CALLS, config.RATE_WINDOW)
CALLS_OF_QUIET: Final = _events(conditions.CALLS_OF_QUIET, config.QUIET_WINDOW)
CALLS_OF_SLOW: Final = _events(conditions.CALLS_OF_SLOW, config.SLOW_WINDOW)
CALL_TIME: Final = _events(conditions.CALL_TIME, config.SLOW_WINDOW)
RECORDED: Final = (REQUESTS, CALLS, CALLS_OF_QUIET, CALLS_OF_SLOW, CALL_TIME)
"""Series that are recorded once for all alerts that use them, since they have the most raw series.
The time of calls is also recorded, as the baseline of GlueLLMCallsSlow."""


SLOW_MINUTES: Final = int(config.SLOW_WINDOW.removesuffix("m"))


def _by(labels: tuple[str, ...]) -> str:
    return f"by ({', '.join(labels)})"


def share_and_count(events: str, share: float, count: int) -> str:
    """Return the condition on a share of the ended requests and on a least number of events."""
    return f"({events} >= {count})\n  / sum {_by(OF_POOL)} ({REQUESTS.name})\n  > {share:g}"


def _share(calls: Recorded, part: str, among: str, count: int, share: float) -> str:
    counted, all_of_them = (
        f"sum {_by(OF_CALLS)} ({calls.name}{{{matching}}})" for matching in (part, among)
    )
    return f"({counted} >= {count})\n  / {all_of_them}\n  > {share:g}"


def _often_or_mostly(part: str, among: str, shares: dict[str, float]) -> str:
    often = [
        _share(CALLS, part + own, among + own, thresholds.CALL_MANY, share)
        for own, share in shares.items()
    ]
    mostly = _share(
        CALLS_OF_QUIET, part, among, thresholds.CALL_QUIET_COUNT, thresholds.CALL_QUIET_SHARE
    )
    return "\nor\n".join([*often, mostly])


def calls_fail() -> str:
    """Return the condition on failed calls: a share of many, or over half of few.

    Calls of the source ``http`` are attempts. Some of them may fail although users see none fail,
    so they have a share of their own.
    """
    shares = {
        f",{conditions.NOT_ATTEMPTS}": thresholds.CALL_FAILURE_SHARE,
        f",{conditions.ATTEMPTS}": thresholds.HTTP_FAILURE_SHARE,
    }
    return _often_or_mostly(conditions.FAILED, conditions.FAILED_OR_NOT, shares)


def calls_cancelled() -> str:
    """Return the condition on cancelled calls; the window is longer for few calls."""
    return _often_or_mostly(conditions.CANCELLED, "", {"": thresholds.CALL_CANCELLED_SHARE})


def found(findings: Query) -> str:
    """Return the number of instances with findings, by provider and kind."""
    by_instance = at((*config.PROCESS, PROVIDER, conditions.FINDING_KIND), findings)
    return f"count {_by(OF_FINDING)} ({by_instance} > 0)"


def judges_no_more() -> str:
    """Return the condition on a process that has judged itself, and does so no longer."""
    judged = at(config.PROCESS, conditions.JUDGED)
    busy = at(config.PROCESS, conditions.REQUESTS_IN_FLIGHT)
    return f"{judged}\n  == 0\nand {busy}\n  > 0"


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
        f"(\n  {silent} >= {thresholds.CALL_SILENT_COUNT}\n"
        f"  or\n  ({silent} > 0 and {longest} >= {thresholds.CALL_SILENT_FIRST:g})\n)\n"
        f"  / {at(OF_CALLS, conditions.CALLS_IN_FLIGHT)}\n  > {thresholds.CALL_SILENT_SHARE:g}"
    )


def limit_differs() -> str:
    """Return the condition on limits that differ between instances; no limit also differs."""
    labels = _by((*OF_POOL, LIBRARY))
    there = at(OF_INSTANCE, conditions.POOLS)
    limit = at(OF_INSTANCE, conditions.LIMIT_OF_A_POOL)
    return f"min {labels} ({limit})\n  < max {labels} ({limit} or {there} * Inf)"


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

"""Parts of conditions: how many events there were, and fresh states."""

from __future__ import annotations

from typing import Final

from gluellm_pools.prometheus import label_name
from gluellm_pools.text import duration
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import Metric

from .. import config
from ..essential import CONNECT_FAILURES as TO_CONNECT
from ..essential import essential
from ..query import PROVIDER, Query, by, now
from .questions import KIND_POOL, LIBRARY

HOOK_LIBRARY: Final = label_name(semconv.HOOK_LIBRARY)
PHASE: Final = label_name(semconv.REQUEST_PHASE)
SOURCE: Final = label_name(semconv.CALL_SOURCE)
FINDING_KIND: Final = label_name(semconv.FINDING_KIND)
SEVERITY: Final = label_name(semconv.FINDING_SEVERITY)
OUTCOME: Final = label_name(semconv.CALL_OUTCOME)
FAILED: Final = f'{OUTCOME}="failed"'
FAILED_OR_NOT: Final = f'{OUTCOME}=~"failed|succeeded"'
"""Cancelled and abandoned calls count neither as failed nor as succeeded."""
CANCELLED: Final = f'{OUTCOME}="cancelled"'
NOT_ATTEMPTS: Final = f'{SOURCE}!="http"'
ATTEMPTS: Final = f'{SOURCE}="http"'
"""Calls of the source ``http`` are attempts: their application may repeat them."""


def events(metric: Metric, own: str = "", window: str = config.RATE_WINDOW) -> str:
    """Return the number of events that a counter counted within the window, per series.

    A rate does not know what was counted before the first sample, which can be a whole incident
    after a start. So a series that did not exist before the window counts from 0. ``rate`` is used
    instead of ``increase``, since VictoriaMetrics' ``increase`` treats series after a gap as new.

    A series is identified by its process and its own attributes. Other labels change while a
    process runs: a Collector that has just started does not know the namespace of a pod yet.
    """
    series = now(metric, own)
    attributes = (*metric.attributes, *metric.opt_in_attributes)
    same = (config.JOB, config.INSTANCE, config.VERSION, *map(label_name, attributes))
    known = f"last_over_time({series}[{config.KNOWN}] offset {window})"
    born = f"{series} unless on ({', '.join(same)}) {known}"
    return f"({born}) or {_grown(series, window)}"


def _grown(series: str, window: str) -> str:
    return f"rate({series}[{window}]) * {duration(window):g}"


def fresh(metric: Metric, own: str = "") -> str:
    """Return the states that were exported recently, per series.

    Pushed series have no end that a store can see, but scraped ones do, so a look back in time is
    not enough.
    """
    series = now(metric, own)
    return f"{series} and present_over_time({series}[{config.FRESH}])"


def _counted(
    name: str, metric: Metric, own: str = "", *more: str, window: str = config.RATE_WINDOW
) -> Query:
    return Query(name, f"sum{by(*more)}({events(metric, own, window)})")


def _share_of_calls(name: str, part: str, among: str = "") -> Query:
    some, every = (f"sum{by()}({events(semconv.CALLS, own)})" for own in (part, among))
    return Query(name, f"({some}) / ({every} > 0)", "ratio")


def _state(name: str, operator: str, metric: Metric, own: str = "", *more: str) -> Query:
    return Query(name, f"{operator}{by(*more)}({fresh(metric, own)})")


def _reported(name: str, window: str, offset: str = "") -> Query:
    reports = now(semconv.HOOK_MISSING)
    return Query(name, f"max{by()}(last_over_time({reports}[{window}]{offset}))")


REQUESTS: Final = _counted("requests_ended", semconv.REQUESTS)
POOL_TIMEOUTS: Final = _counted("pool_timeouts", semconv.TIMEOUTS, KIND_POOL)
CONNECT_FAILURES: Final = _counted("connect_failures", semconv.REQUESTS, TO_CONNECT)
REUSE_FAILURES: Final = _counted("reuse_failures", semconv.REUSE_FAILURES)
CALLS: Final = _counted("calls_ended", semconv.CALLS, "", OUTCOME, SOURCE)
CALLS_FAILED: Final = _share_of_calls("calls_failed", FAILED, FAILED_OR_NOT)
CALLS_CANCELLED: Final = _share_of_calls("calls_cancelled", CANCELLED)
CALLS_OF_QUIET: Final = _counted(
    "calls_ended_of_quiet", semconv.CALLS, "", OUTCOME, window=config.QUIET_WINDOW
)
CALLS_OF_SLOW: Final = _counted("calls_ended_of_slow", semconv.CALLS, window=config.SLOW_WINDOW)
CALL_TIME: Final = _counted("call_time", semconv.CALL_TIME, window=config.SLOW_WINDOW)
CALL_ERRORS: Final = _counted(
    "call_errors", semconv.CALL_ERRORS, "", label_name(semconv.ERROR_TYPE)
)
CALLS_IN_FLIGHT: Final = _state("calls_in_flight", "sum", semconv.CALL_CURRENT)
CALLS_SILENT: Final = _state("calls_silent", "sum", semconv.CALL_SILENT)
LONGEST_SILENCE: Final = _state("longest_silence", "max", semconv.CALL_SILENCE)
OLDEST_QUEUED: Final = _state(
    "oldest_queued", "max", semconv.REQUEST_OLDEST_AGE, f'{PHASE}="queued"'
)
OLDEST_STREAM_QUEUED: Final = _state(
    "oldest_stream_queued", "max", semconv.REQUEST_OLDEST_AGE, f'{PHASE}="stream_queued"'
)
# Not only of what still exports: an installed version does not change by that.
HOOKS_MISSING: Final = essential("hooks_missing")
REPORTING: Final = _state("reporting", "max", semconv.HOOK_MISSING)
REPORTED: Final = _reported("reported", config.KNOWN)
REPORTED_BEFORE: Final = _reported("reported_before", "10m", f" offset {config.KNOWN}")
REPORTED_LONG_BEFORE: Final = _reported("reported_long_before", "10m", f" offset {config.LASTING}")


def _findings(severity: str) -> Query:
    own = f'{SEVERITY}="{severity}"'
    return _state(
        f"findings_{severity}", "max", semconv.FINDING_CURRENT, own, PROVIDER, FINDING_KIND
    )


FINDING_ERROR: Final = _findings("error")
FINDING_WARNING: Final = _findings("warning")
_JUDGEMENTS: Final = now(semconv.FINDING_JUDGED)
# No increase(): a process that has just started has none, and has not failed to judge.
JUDGED: Final = Query("judged", f"sum{by()}({_JUDGEMENTS} - {_JUDGEMENTS} offset {config.JUDGED})")
REQUESTS_IN_FLIGHT: Final = Query(
    "requests_in_flight",
    f"min_over_time((sum{by()}({now(semconv.REQUEST_CURRENT)}))[{config.JUDGED}:1m])",
)
POOLS: Final = Query("pools", f"(sum{by(LIBRARY)}({fresh(semconv.POOL_LIVE)}) > 0)")
LIMIT_OF_A_POOL: Final = Query(
    "limit_of_a_pool", f"sum{by(LIBRARY)}({fresh(semconv.CONNECTION_MAX)}) / {POOLS.template}"
)

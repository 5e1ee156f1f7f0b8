"""All instances at once, based on recording rules (`rules/recording.py`)."""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm.thresholds import LATE_SHARE

from ..config import JOB, KNOWN, PROCESS, SERVICE, VERSION
from ..query import CALL_MATCHERS, MATCHERS, POOL, PROCESS_MATCHERS, WINDOW, Query
from ..rules.questions import LIBRARY
from ..rules.recording import INSTANCE_POOL, INSTANCE_PROVIDER, recorded
from .events import MEMORY
from .signal import Signal, by, by_labels

_LIKE = by_labels(*SERVICE, *POOL, LIBRARY)
"""Labels of pools that should have the same limit."""
LIMIT = "limit"
"""Label that distinguishes instances by their limit."""


def _series(query: str) -> str:
    """Return the series of a recording rule. Raises UnknownNameError."""
    places = {INSTANCE_POOL: MATCHERS, INSTANCE_PROVIDER: CALL_MATCHERS}
    place = places.get(recorded(query).level, PROCESS_MATCHERS)
    return f"{recorded(query).name}{{{place}}}"


def _signal(name: str, template: str, tells: str, unit: str = "") -> Signal:
    return Signal(Query(f"fleet_{name}", template, unit), tells, recorded=True)


def _or_none(count: str, of: str) -> str:
    """Return a count that is 0 if there are series but none to count."""
    return f"{count} or 0 * count({of})"


_QUEUED = _series("queued_now")
_OCCUPANCY = _series("occupancy")
_LIMIT = _series("limit_per_pool")
_MISSING = _series("missing_hooks")
_VERSION = _series("versions")

CALLS_FAILING = _signal(
    "calls_failing",
    f"sum{by()}({_series('call_failure_rate')})",
    "Failed calls per instance. If all instances are affected, the provider is the likely "
    "cause; if one is, look at that instance.",
    "/s",
)
TIME_PER_CALL = _signal(
    "time_per_call",
    f"sum{by()}({_series('call_time_rate')}) / (sum{by()}({_series('call_rate')}) > 0)",
    "Time that calls spent, divided by the number of calls that ended. Calls in flight are "
    "included.",
    "s",
)
CALLS_SILENT = _signal(
    "calls_silent",
    f"sum{by()}({_series('silent_calls')})",
    "Calls in flight that have waited for much longer than any recent one.",
)
OLDEST = _signal(
    "oldest",
    f"max{by()}({_series('oldest_waiter')})",
    "Age of the oldest waiter per instance. If one instance is above the others, look for "
    "a leak, a blocked loop or a different limit there. If all rise together, the cause is "
    "the provider or the load.",
    "s",
)
WAITING_INSTANCES = _signal(
    "waiting_instances",
    _or_none(f"count(max{by_labels(*PROCESS)}({_QUEUED}) > 0)", _QUEUED),
    "Instances in which requests wait. A few: the cause is in them. All: it is the provider, "
    "the limit or the load.",
)


def _spread(share: float, tells: str) -> Signal:
    spread = f"quantile{by()}({share:g}, max{by_labels(*PROCESS)}({_OCCUPANCY}))"
    return _signal(f"occupancy_q{share * 100:g}", spread, tells, "ratio")


OCCUPANCY_MAX = _spread(1, "Occupancy of the fullest pool in the fullest instance.")
OCCUPANCY_P90 = _spread(0.9, "One of ten instances is fuller.")
OCCUPANCY_P50 = _spread(0.5, "Half of the instances are fuller.")
OCCUPANCY_MIN = _spread(
    0,
    "Fullest pool of the emptiest instance. If the lines are far apart, the load is spread "
    "unevenly: for example by long-lived connections to a load balancer, or because one "
    "instance takes most jobs of a work queue.",
)
LIMITS = _signal(
    "limits",
    f'count_values{by_labels(*POOL)}("{LIMIT}", round({_LIMIT}))',
    "Instances of one service should have the same limit. Two lines for one pool mean a "
    "deploy in progress, one that did not reach every instance, or a wrong limit.",
)
LOWEST_LIMIT = _signal("lowest_limit", f"min{by()}({_LIMIT})", "")
HIGHEST_LIMIT = _signal("highest_limit", f"max{by()}({_LIMIT})", "")
LIMITED = _signal("limited", f"count{by()}(max{by_labels(*PROCESS, *POOL)}({_LIMIT}))", "")
WITH_POOL = _signal("with_pool", f"count{by()}({_series('pools_live')} > 0)", "")
DIFFERING = _signal(
    "differing",
    _or_none(f"count(max{_LIKE}({_LIMIT}) != min{_LIKE}({_LIMIT}))", _LIMIT),
    "Pools whose limit is not the same in all instances of a service. 0 is healthy.",
)
CHURN = _signal(
    "churn",
    f"sum{by()}({_series('pools_opened')}) / (sum{by()}({_series('request_rate')}) > 0)",
    "Pools opened per request. Near 1, a client is built for every call.",
    "ratio",
)
POOL_TIMEOUTS = _signal(
    "pool_timeouts",
    f"60 * sum{by()}({_series('pool_timeout_rate')})",
    "Requests that ended in a pool timeout, in each minute.",
    "/min",
)
LATE = _signal(
    "late",
    f"max{by()}({_series('event_loop_late')})",
    f"Share of the time in which a loop of the instance is late. Above {LATE_SHARE:.0%}, do "
    "not trust the instance's numbers on pools and providers.",
    "ratio",
)
INSTANCES = _signal(
    "instances",
    f"count({_MISSING})",
    "Instances that report. They do so from `instrument()` on, before the first call.",
)
GONE = _signal(
    "gone",
    _or_none(f"count(last_over_time({_MISSING}[{KNOWN}]) unless {_MISSING})", _MISSING),
    "Instances that reported within the last hour and no longer do. Deploys and scaling "
    "down are normal causes; otherwise their telemetry is missing.",
)
INSTANCES_MISSING_HOOKS = _signal(
    "instances_missing_hooks",
    _or_none(f"count({_MISSING} > 0)", _MISSING),
    "Instances where the installed version of a library lacks hooks: numbers may be missing or too "
    "low there. The overview shows of which library.",
)
VERSIONS = _signal(
    "versions",
    f"count{by_labels(JOB, VERSION)}({_VERSION})",
    "During a deploy, one line falls and another rises. Trouble that began at that time is "
    "likely caused by the deploy.",
)
STARTED = _signal(
    "started",
    f"count{by_labels(JOB, VERSION)}({_VERSION} unless "
    f"last_over_time({_VERSION}[{MEMORY}] offset {WINDOW}))",
    "Processes that did not report before: a deploy, a restart, a new replica.",
)
_MEAN_LIMIT = f"avg{by_labels(JOB, *POOL)}({_LIMIT}"
LIMIT_CHANGED = _signal(
    "limit_changed",
    f"round({_MEAN_LIMIT}), 0.01) != round({_MEAN_LIMIT} offset {WINDOW}), 0.01)",
    "Limit of a single pool, on average over the processes, while it changes.",
)

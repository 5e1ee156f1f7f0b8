"""All instances at once, based on recording rules (`rules/recording.py`)."""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm.thresholds import LATE_SHARE

from ..config import JOB, KNOWN, PROCESS, SERVICE, VERSION
from ..query import CALL_MATCHERS, MATCHERS, POOL, PROCESS_MATCHERS, WINDOW, Query
from ..rules.questions import LIBRARY
from ..rules.recording import (
    INSTANCE,
    INSTANCE_POOL,
    INSTANCE_PROVIDER,
    INSTANCE_VERSION,
    Level,
    recorded,
)
from .events import MEMORY
from .signal import Signal, by, by_labels

_LIKE = by_labels(*SERVICE, *POOL, LIBRARY)
"""Labels of pools that should have the same limit."""
LIMIT = "limit"
"""Label that distinguishes instances by their limit."""


def _series(query: str, level: Level) -> str:
    """Return the series of a recording rule. Raises UnknownNameError."""
    places = {INSTANCE_POOL: MATCHERS, INSTANCE_PROVIDER: CALL_MATCHERS}
    place = places.get(level, PROCESS_MATCHERS)
    return f"{recorded(query, level).name}{{{place}}}"


def _signal(
    name: str,
    question: str,
    template: str,
    tells: str,
    rests_on: str,
    *,
    level: Level = INSTANCE_POOL,
    unit: str = "",
) -> Signal:
    metrics = recorded(rests_on, level).query.metrics
    return Signal(Query(name, question, metrics, template, unit, by=()), tells)


_OLDEST = _series("oldest_waiter", INSTANCE_POOL)
_QUEUED = _series("queued_now", INSTANCE_POOL)
_OCCUPANCY = _series("occupancy", INSTANCE_POOL)
_LIMIT = _series("limit_per_pool", INSTANCE_POOL)
_OPENED = _series("pools_opened", INSTANCE_POOL)
_REQUESTS = _series("request_rate", INSTANCE_POOL)
_LEAKED = _series("leaks_suspected", INSTANCE_POOL)
_LATE = _series("event_loop_late", INSTANCE)
_MISSING = _series("missing_hooks", INSTANCE)
_VERSION = _series("versions", INSTANCE_VERSION)

CALLS_FAILING = _signal(
    "fleet_calls_failing",
    "Which instances' calls fail?",
    f"sum{by()}({_series('call_failure_rate', INSTANCE_PROVIDER)})",
    "Failed calls per instance. If all instances are affected, the provider is the likely "
    "cause; if one is, look at that instance.",
    "call_failure_rate",
    level=INSTANCE_PROVIDER,
    unit="/s",
)
TIME_PER_CALL = _signal(
    "fleet_time_per_call",
    "Where do calls take longest?",
    f"sum{by()}({_series('call_time_rate', INSTANCE_PROVIDER)}) / "
    f"(sum{by()}({_series('call_rate', INSTANCE_PROVIDER)}) > 0)",
    "Time that calls spent, divided by the number of calls that ended. Calls in flight are "
    "included.",
    "call_time_rate",
    level=INSTANCE_PROVIDER,
    unit="s",
)
CALLS_SILENT = _signal(
    "fleet_calls_silent",
    "In which instances are calls silent?",
    f"sum{by()}({_series('silent_calls', INSTANCE_PROVIDER)})",
    "Calls in flight that have waited for much longer than any recent one.",
    "silent_calls",
    level=INSTANCE_PROVIDER,
)
OLDEST = _signal(
    "fleet_oldest",
    "Which instances wait longest?",
    f"max{by()}({_OLDEST})",
    "Age of the oldest waiter per instance. If one instance is above the others, look for "
    "a leak, a blocked loop or a different limit there. If all rise together, the cause is "
    "the provider or the load.",
    "oldest_waiter",
    unit="s",
)
QUEUED = _signal(
    "fleet_queued",
    "In which instances do requests queue?",
    f"sum{by()}({_QUEUED})",
    "Requests that wait, per instance.",
    "queued_now",
)
WAITING_INSTANCES = _signal(
    "fleet_waiting_instances",
    "In how many instances do requests wait?",
    f"count(max{by_labels(*PROCESS)}({_QUEUED}) > 0) or 0 * count({_QUEUED})",
    "Instances in which requests wait. A few: the cause is in them. All: it is the provider, "
    "the limit or the load.",
    "queued_now",
)


def _spread(share: float, tells: str) -> Signal:
    return _signal(
        f"fleet_occupancy_q{share * 100:g}",
        "How full are instances?",
        f"quantile{by()}({share:g}, max{by_labels(*PROCESS)}({_OCCUPANCY}))",
        tells,
        "occupancy",
        unit="ratio",
    )


OCCUPANCY_MAX = _spread(1, "Occupancy of the fullest pool in the fullest instance.")
OCCUPANCY_P90 = _spread(0.9, "One of ten instances is fuller.")
OCCUPANCY_P50 = _spread(0.5, "Half of the instances are fuller.")
OCCUPANCY_MIN = _spread(
    0,
    "Fullest pool of the emptiest instance. If the lines are far apart, the load is spread "
    "unevenly: for example by long-lived connections to a load balancer, or because one "
    "instance takes most jobs of a work queue.",
)
WAIT_MAX = _signal(
    "fleet_wait",
    "Where are waits longest (p95)?",
    f"max{by()}({_series('wait_p95', INSTANCE_POOL)})",
    "95 of 100 requests of the instance got their connection within this time.",
    "wait_p95",
    unit="s",
)
LIMITS = _signal(
    "fleet_limits",
    "How many instances have which limit?",
    f'count_values{by_labels(*POOL)}("{LIMIT}", round({_LIMIT}))',
    "Instances of one service should have the same limit. Two lines for one pool mean a "
    "deploy in progress, one that did not reach every instance, or a wrong limit.",
    "limit_per_pool",
)
LOWEST_LIMIT = _signal(
    "fleet_lowest_limit",
    "What is the lowest limit?",
    f"min{by()}({_LIMIT})",
    "Of one pool, over the instances.",
    "limit_per_pool",
)
HIGHEST_LIMIT = _signal(
    "fleet_highest_limit",
    "What is the highest limit?",
    f"max{by()}({_LIMIT})",
    "Of one pool, over the instances.",
    "limit_per_pool",
)
LIMITS_APART = _signal(
    "fleet_limits_apart",
    "How far are limits apart?",
    f"max{by()}({_LIMIT}) - min{by()}({_LIMIT})",
    "0 is healthy.",
    "limit_per_pool",
)
LIMITED = _signal(
    "fleet_limited",
    "How many instances have a limit?",
    f"count{by()}(max{by_labels(*PROCESS, *POOL)}({_LIMIT}))",
    "Instances whose pool of this name has a limit.",
    "limit_per_pool",
)
WITH_POOL = _signal(
    "fleet_with_pool",
    "How many instances have the pool?",
    f"count{by()}({_series('pools_live', INSTANCE_POOL)} > 0)",
    "Instances that have a pool of this name. If there are more than instances with a "
    "limit, the pool is unlimited in the others.",
    "pools_live",
)
DIFFERING = _signal(
    "fleet_differing",
    "In how many pools do limits differ?",
    f"count(max{_LIKE}({_LIMIT}) != min{_LIKE}({_LIMIT})) or 0 * count({_LIMIT})",
    "Pools whose limit is not the same in all instances of a service. 0 is healthy.",
    "limit_per_pool",
)
CHURN = _signal(
    "fleet_churn",
    "Which instances churn through pools?",
    f"sum{by()}({_OPENED}) / (sum{by()}({_REQUESTS}) > 0)",
    "Pools opened per request. Near 1, a client is built for every call.",
    "pools_opened",
    unit="ratio",
)
REQUESTS = _signal(
    "fleet_requests",
    "How many requests are there?",
    f"sum{by()}({_REQUESTS})",
    "Requests that left the pools.",
    "request_rate",
    unit="/s",
)
POOL_TIMEOUTS = _signal(
    "fleet_pool_timeouts",
    "Which instances give up waiting?",
    f"60 * sum{by()}({_series('pool_timeout_rate', INSTANCE_POOL)})",
    "Requests that ended in a pool timeout, in each minute.",
    "pool_timeout_rate",
    unit="/min",
)
LEAKING_INSTANCES = _signal(
    "fleet_leaking_instances",
    "In how many instances are leaks suspected?",
    f"count(sum{by_labels(*PROCESS)}({_LEAKED}) > 0) or 0 * count({_LEAKED})",
    "Instances with connections that are held for too long.",
    "leaks_suspected",
)
LATE = _signal(
    "fleet_late",
    "Which instances' event loops are late?",
    f"max{by()}({_LATE})",
    f"Share of the time in which a loop of the instance is late. Above {LATE_SHARE:.0%}, do "
    "not trust the instance's numbers on pools and providers.",
    "event_loop_late",
    level=INSTANCE,
    unit="ratio",
)
INSTANCES = _signal(
    "fleet_instances",
    "How many instances report?",
    f"count({_MISSING})",
    "Instances that report. They do so from `instrument()` on, before the first call.",
    "missing_hooks",
    level=INSTANCE,
)
GONE = _signal(
    "fleet_gone",
    "How many instances stopped reporting?",
    f"count(last_over_time({_MISSING}[{KNOWN}]) unless {_MISSING}) or 0 * count({_MISSING})",
    "Instances that reported within the last hour and no longer do. Deploys and scaling "
    "down are normal causes; otherwise their telemetry is missing.",
    "missing_hooks",
    level=INSTANCE,
)
INSTANCES_MISSING_HOOKS = _signal(
    "fleet_instances_missing_hooks",
    "How many instances lack hooks?",
    f"count({_MISSING} > 0) or 0 * count({_MISSING})",
    "Instances where the installed version of a library lacks hooks: numbers may be missing or too "
    "low there.",
    "missing_hooks",
    level=INSTANCE,
)
MISSING_HOOKS = _signal(
    "fleet_missing_hooks",
    "Which instances lack hooks, and how many?",
    f"max{by()}({_MISSING}) > 0",
    "Number of hooks that the installed versions lack. The overview shows of which library.",
    "missing_hooks",
    level=INSTANCE,
)
VERSIONS = _signal(
    "fleet_versions",
    "Which versions report?",
    f"count{by_labels(JOB, VERSION)}({_VERSION})",
    "During a deploy, one line falls and another rises. Trouble that began at that time is "
    "likely caused by the deploy.",
    "versions",
    level=INSTANCE_VERSION,
)
STARTED = _signal(
    "fleet_started",
    "Which processes are new?",
    f"count{by_labels(JOB, VERSION)}({_VERSION} unless "
    f"last_over_time({_VERSION}[{MEMORY}] offset {WINDOW}))",
    "Processes that did not report before: a deploy, a restart, a new replica.",
    "versions",
    level=INSTANCE_VERSION,
)
_MEAN_LIMIT = f"avg{by_labels(JOB, *POOL)}({_LIMIT}"
LIMIT_CHANGED = _signal(
    "fleet_limit_changed",
    "Which limits changed?",
    f"round({_MEAN_LIMIT}), 0.01) != round({_MEAN_LIMIT} offset {WINDOW}), 0.01)",
    "Limit of a single pool, on average over the processes, while it changes.",
    "limit_per_pool",
)

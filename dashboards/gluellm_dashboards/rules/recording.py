"""Recording rules, so that a board over a thousand instances stays fast.

The name of a recorded series is ``level:metric:operation``. The level determines its labels: see
`Level`. The metric is the stored name, without ``_total``.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gluellm_pools.prometheus import metric_name

from .. import config, naming
from .. import query as promql
from ..query import Query
from . import questions
from .questions import at, essential

INTERVAL: Final = "1m"
"""Time between two evaluations: as often as there are new samples."""


@dataclass(frozen=True, slots=True)
class Level:
    """Subject of a recorded series, with its labels."""

    prefix: str
    """Beginning of its name."""
    labels: tuple[str, ...]
    """Labels, besides those that are part of the query."""


INSTANCE_POOL: Final = Level("instance_pool", (*config.PROCESS, *promql.POOL))
SERVICE_POOL: Final = Level("service_pool", (*config.SERVICE, *promql.POOL))
INSTANCE_PROVIDER: Final = Level("instance_provider", (*config.PROCESS, promql.PROVIDER))
SERVICE_PROVIDER: Final = Level("service_provider", (*config.SERVICE, promql.PROVIDER))
INSTANCE: Final = Level("instance", config.PROCESS)
INSTANCE_VERSION: Final = Level("instance_version", (*config.PROCESS, config.VERSION))


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recording rule."""

    query: Query
    level: Level
    operation: str
    window: str = config.RATE_WINDOW

    @property
    def name(self) -> str:
        """Name of the series."""
        metric = metric_name(self.query.metrics[0]).removesuffix("_total")
        return f"{self.level.prefix}:{metric}:{self.operation}"

    @property
    def promql(self) -> str:
        """PromQL of the rule."""
        return at(self.level.labels, self.query, self.window)

    @property
    def rule(self) -> dict[str, str]:
        """The rule in the format of Prometheus."""
        return {"record": self.name, "expr": self.promql}


_RATE: Final = f"rate{config.RATE_WINDOW}"
_OF_POOLS: Final = (
    (essential("oldest_waiter"), "max_waiting"),
    (essential("queued_now"), "sum_waiting"),
    (essential("occupancy"), "max"),
    (essential("wait_p95"), f"p95_{config.RATE_WINDOW}"),
    (questions.WAIT_P99, f"p99_{config.RATE_WINDOW}"),
    (questions.LIMIT_PER_POOL, "per_pool"),
    (questions.POOLS_LIVE, "sum"),
    (essential("pools_opened"), _RATE),
    (questions.REQUEST_RATE, _RATE),
    (questions.POOL_TIMEOUT_RATE, f"pool_{_RATE}"),
    (essential("leaks_suspected"), "sum"),
)
_OF_CALLS: Final = (
    (questions.CALL_FAILURE_RATE, f"failed_{_RATE}"),
    (questions.CALL_RATE, _RATE),
    (questions.CALL_TIME_RATE, _RATE),
    (questions.SILENT_CALLS, "sum"),
)
RECORDED: Final = (
    *(
        Recorded(query, level, operation)
        for level in (INSTANCE_POOL, SERVICE_POOL)
        for query, operation in _OF_POOLS
    ),
    Recorded(essential("time_by_phase"), SERVICE_POOL, _RATE),
    *(Recorded(query, INSTANCE_PROVIDER, operation) for query, operation in _OF_CALLS),
    Recorded(essential("event_loop_late"), INSTANCE, _RATE),
    Recorded(questions.MISSING_HOOKS, INSTANCE, "sum"),
    Recorded(questions.VERSIONS, INSTANCE_VERSION, "group"),
)


def recorded(query: str, level: Level) -> Recorded:
    """Return the rule that records this query at a level. Raises UnknownNameError."""
    there = {(one.query.name, one.level): one for one in RECORDED}
    found = there.get((query, level))
    if found is None:
        names = [name for name, at in there if at is level]
        near = difflib.get_close_matches(query, names, n=1, cutoff=0.4)
        hint = f"; the nearest is {near[0]!r}" if near else ""
        raise naming.UnknownNameError(f"{query!r} is not recorded by {level.prefix}{hint}")
    return found


def group() -> Mapping[str, Any]:
    """Return the rule group in the format of Prometheus."""
    return {
        "name": "gluellm-recording",
        "interval": INTERVAL,
        "rules": [one.rule for one in RECORDED],
    }

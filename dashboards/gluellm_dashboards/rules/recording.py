"""What is computed ahead, so that a board over a thousand instances stays fast.

A recorded series is called ``level:metric:operation``. The level says which labels it has: see
`Level`. The metric is the stored name of what it is made of, without ``_total``.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.instrumentation.gluellm.telemetry.prometheus import metric_name

from .. import config, naming
from .. import query as promql
from ..query import Query
from . import questions
from .questions import at, essential

INTERVAL: Final = "1m"
"""Between two evaluations: as often as there is something new."""


@dataclass(frozen=True, slots=True)
class Level:
    """What a recorded series is about."""

    prefix: str
    """How its name begins."""
    labels: tuple[str, ...]
    """Which labels it has, besides those that are part of its question."""


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
        """The series that it makes."""
        metric = metric_name(self.query.metrics[0]).removesuffix("_total")
        return f"{self.level.prefix}:{metric}:{self.operation}"

    @property
    def promql(self) -> str:
        """What it evaluates."""
        return at(self.level.labels, self.query, self.window)

    @property
    def rule(self) -> dict[str, str]:
        """As Prometheus reads it."""
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
    """The rule that records a query of this name at a level. Raises UnknownNameError."""
    there = {(one.query.name, one.level): one for one in RECORDED}
    found = there.get((query, level))
    if found is None:
        names = [name for name, at in there if at is level]
        near = difflib.get_close_matches(query, names, n=1, cutoff=0.4)
        hint = f"; the nearest is {near[0]!r}" if near else ""
        raise naming.UnknownNameError(f"{query!r} is not recorded by {level.prefix}{hint}")
    return found


def group() -> Mapping[str, Any]:
    """The rule group, as Prometheus reads it."""
    return {
        "name": "gluellm-recording",
        "interval": INTERVAL,
        "rules": [one.rule for one in RECORDED],
    }

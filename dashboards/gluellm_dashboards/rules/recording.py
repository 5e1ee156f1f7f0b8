"""Recording rules, so that a board over a thousand instances stays fast.

The name of a recorded series is ``level:metric:operation``. The level determines its labels: see
`Level`. The metric is the stored name, without ``_total``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .. import config, naming
from .. import query as promql
from ..essential import essential
from ..query import Query
from . import questions
from .questions import at

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

    @property
    def name(self) -> str:
        """Name of the series."""
        metric = re.search(r"(\w+?)(?:_total|_bucket)?\{", self.query.template)
        assert metric, self.query.template
        return f"{self.level.prefix}:{metric[1]}:{self.operation}"

    @property
    def promql(self) -> str:
        """PromQL of the rule."""
        return at(self.level.labels, self.query)

    @property
    def rule(self) -> dict[str, str]:
        """The rule in the format of Prometheus."""
        return {"record": self.name, "expr": self.promql}


_RATE: Final = f"rate{config.RATE_WINDOW}"
_RECORDED: Final = (
    (essential("oldest_waiter"), INSTANCE_POOL, "max_waiting"),
    (essential("queued_now"), INSTANCE_POOL, "sum_waiting"),
    (essential("occupancy"), INSTANCE_POOL, "max"),
    (questions.LIMIT_PER_POOL, INSTANCE_POOL, "per_pool"),
    (questions.POOLS_LIVE, INSTANCE_POOL, "sum"),
    (essential("pools_opened"), INSTANCE_POOL, _RATE),
    (questions.REQUEST_RATE, INSTANCE_POOL, _RATE),
    (questions.POOL_TIMEOUT_RATE, INSTANCE_POOL, f"pool_{_RATE}"),
    (questions.CALL_FAILURE_RATE, INSTANCE_PROVIDER, f"failed_{_RATE}"),
    (questions.CALL_RATE, INSTANCE_PROVIDER, _RATE),
    (questions.CALL_TIME_RATE, INSTANCE_PROVIDER, _RATE),
    (questions.SILENT_CALLS, INSTANCE_PROVIDER, "sum"),
    (essential("event_loop_late"), INSTANCE, _RATE),
    (questions.MISSING_HOOKS, INSTANCE, "sum"),
    (questions.VERSIONS, INSTANCE_VERSION, "group"),
)
RECORDED: Final = tuple(Recorded(*one) for one in _RECORDED)


def recorded(query: str) -> Recorded:
    """Return the rule that records this query. Raises UnknownNameError."""
    there = {one.query.name: one for one in RECORDED}
    if query not in there:
        near = naming.nearest(query, there)
        raise naming.UnknownNameError(f"{query!r} is not recorded{near}")
    return there[query]


def group() -> Mapping[str, Any]:
    """Return the rule group in the format of Prometheus."""
    return {
        "name": "gluellm-recording",
        "interval": INTERVAL,
        "rules": [one.rule for one in RECORDED],
    }

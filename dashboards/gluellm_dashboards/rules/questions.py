"""What the rules ask beyond the essential queries, each PromQL once."""

from __future__ import annotations

from typing import Final

from opentelemetry.instrumentation.gluellm.cli.verify.queries import QUERIES
from opentelemetry.instrumentation.gluellm.cli.verify.query import Query

from .. import config
from ..naming import UnknownNameError
from ..signals import waiting
from ..signals.signal import by, now, rate, signal

_ESSENTIAL: Final = {query.name: query for query in QUERIES}


def essential(name: str) -> Query:
    """One of the queries that ``gluellm-pools verify`` asks too. Raises UnknownNameError."""
    if name not in _ESSENTIAL:
        raise UnknownNameError(f"there is no query {name!r} among {', '.join(_ESSENTIAL)}")
    return _ESSENTIAL[name]


def tidy(promql: str) -> str:
    """Without the marks that the places for further matchers leave behind."""
    return promql.replace(",}", "}").replace("{}", "")


WAIT_P99: Final = waiting.WAIT_P99.query
REQUEST_RATE: Final = signal(
    "request_rate",
    "How many requests leave the pool?",
    f"sum{by()}({rate('gluellm.pool.requests')})",
    "Requests that ended, however they ended.",
    of=["gluellm.pool.requests"],
    unit="/s",
).query
POOL_TIMEOUT_RATE: Final = signal(
    "pool_timeout_rate",
    "How many requests end in a pool timeout?",
    f"sum{by()}({rate('gluellm.pool.timeouts', {'gluellm.timeout.kind': 'pool'})})",
    "Requests that gave up waiting for a connection.",
    of=["gluellm.pool.timeouts"],
    unit="/s",
).query
POOLS_LIVE: Final = signal(
    "pools_live",
    "How many pools are alive?",
    f"sum{by()}({now('gluellm.pool.live')})",
    "One for each client that has made a request and is not closed.",
    of=["gluellm.pool.live"],
).query
LIMIT_PER_POOL: Final = signal(
    "limit_per_pool",
    "How many connections may one pool have?",
    f"sum{by('gluellm.pool.live', 'gluellm.pool.library')}({now('gluellm.pool.connection.max')}) / "
    f"(sum{by('gluellm.pool.live', 'gluellm.pool.library')}({now('gluellm.pool.live')}) > 0)",
    "The mean over the pools of one name: with one client it is that client's limit. Nothing where "
    "a pool has no limit.",
    of=["gluellm.pool.connection.max", "gluellm.pool.live"],
).query
BLIND_SEAMS: Final = signal(
    "blind_seams",
    "How many signals does the installed version of a library lack?",
    f"sum{by()}({now('gluellm.instrumentation.seam')} == bool 0)",
    "0 is what it should be. docs/metrics.md says what is lost without each seam.",
    of=["gluellm.instrumentation.seam"],
    by=config.PROCESS,
).query
VERSIONS: Final = signal(
    "versions",
    "Which version of the service is each instance?",
    f"max{by()}({now('gluellm.instrumentation.seam')})",
    "Always 1; what counts is the label.",
    of=["gluellm.instrumentation.seam"],
    by=(*config.PROCESS, config.VERSION),
).query

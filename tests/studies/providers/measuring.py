"""From what was seen of a provider to a row as it ought to be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from .rows import Row
from .seeing import Seen

T = TypeVar("T")


def measured(row: Row, seen: Seen) -> Row:
    """The row with what was measured in place of what was expected."""
    pools = seen.calling()
    names = {
        point.attributes[semconv.PROVIDER_NAME]
        for point in seen.during.points[semconv.POOL_LIVE.name]
    }
    assert seen.after is not None
    totals = seen.after.snapshot.totals
    return replace(
        row,
        name=_one(names),
        library=_one(pool.library for pool in pools),
        maximum=_one(pool.max_connections for pool in pools),
        idle_maximum=_one(pool.max_idle_connections for pool in pools),
        keepalive_expiry=_one(pool.keepalive_expiry for pool in pools),
        pool_timeout=_one(pool.pool_timeout for pool in pools),
        read_timeout=_one(pool.read_timeout for pool in pools),
        threads=_one(pool.threads is not None for pool in pools),
        calling=len(pools),
        pools=sum(total.pools_opened for total in totals),
    )


def _one(values: Iterable[T]) -> T:
    """The one value that all of them are."""
    (value,) = set(values)
    return value


def metric_names(seen: Seen) -> set[str]:
    """The metrics that had something to tell of a pool."""
    assert seen.after is not None
    return {
        name
        for moment in (seen.during, seen.after)
        for name, points in moment.points.items()
        if any(semconv.POOL_NAME in point.attributes for point in points)
    }

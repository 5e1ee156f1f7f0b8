"""Compares the series that a store has of a program with what the program counted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from e2e.stores import Store
from gluellm_pools.prometheus import SCOPE_LABELS, Way, label_name, metric_name, series_names
from opentelemetry.instrumentation.gluellm.telemetry import semconv

Series = tuple[str, frozenset[tuple[str, str]]]
"""Name and labels; bounds of buckets are spelled as in Python."""
METRICS = {metric.name: metric for metric in semconv.METRICS}
_ARRIVES_WITHIN = 20.0
_POLL = 0.3
_PRECISION = {
    # VictoriaMetrics stores decimal numbers, and returned sums with 13 digits.
    Way.VICTORIA_METRICS: 1e-11,
    # The SDK adds up a sum for each reader separately, and so in another order.
    Way.READER: 1e-14,
}
"""Relative tolerance of values; 0 for the other ways."""


@dataclass(frozen=True)
class Origin:
    """The program that counted; all of its series get these labels."""

    job: str
    instance: str
    resource: Mapping[str, str]
    """By key, the resource attributes that this way turns into labels."""

    @property
    def selector(self) -> str:
        """Selects all series of the program."""
        return (
            f'{{__name__=~"gluellm_.+|http_client_.+",job="{self.job}",instance="{self.instance}"}}'
        )


@dataclass
class Compared:
    """The comparison of a store with the program, on one way and at one moment."""

    agreed: set[str] = field(default_factory=set)
    """Metrics with a series whose stored value is the one that the program counted. If the value
    changed during the comparison, it lies between two counts."""
    wrong: list[str] = field(default_factory=list)
    """Series that are missing or unexpected, or that have another value."""


def series(metrics: Mapping[str, Any], way: Way, origin: Origin) -> dict[Series, float]:
    """The series of an export or a read, with their values."""
    found: dict[Series, float] = {}
    for resource in metrics["resource_metrics"]:
        for scope in resource["scope_metrics"]:
            about = {**scope["scope"], "schema_url": scope["schema_url"]}
            common = {
                "job": origin.job,
                "instance": origin.instance,
                **{label_name(key): value for key, value in origin.resource.items()},
                **{label: about[which] for which, label in SCOPE_LABELS[way].items()},
            }
            for metric in scope["metrics"]:
                name = metric_name(METRICS[metric["name"]])
                for point in metric["data"]["data_points"]:
                    found.update(_of_point(name, point, common))
    return found


def _of_point(
    name: str, point: Mapping[str, Any], common: Mapping[str, str]
) -> Iterator[tuple[Series, float]]:
    labels = dict(common)
    for key, value in point["attributes"].items():
        labels[label_name(key)] = str(value).lower() if isinstance(value, bool) else str(value)
    if "bucket_counts" not in point:
        yield (name, frozenset(labels.items())), float(point["value"])
        return
    yield (f"{name}_count", frozenset(labels.items())), float(point["count"])
    yield (f"{name}_sum", frozenset(labels.items())), float(point["sum"])
    below = 0
    bounds = (*point["explicit_bounds"], float("inf"))
    for bound, count in zip(bounds, point["bucket_counts"], strict=True):
        below += count
        bucket = {**labels, "le": _spelled(str(bound))}
        yield (f"{name}_bucket", frozenset(bucket.items())), float(below)


@cache
def _spelled(bound: str) -> str:
    """A bucket's bound in one spelling: stores write 1, 1.0, inf, +Inf."""
    return str(float(bound))


def _as_series(labels: Mapping[str, str]) -> Series:
    named = {name: _spelled(v) if name == "le" else v for name, v in labels.items()}
    return named.pop("__name__"), frozenset(named.items())


def compare_pushed(
    way: Way, store: Store, exports: Sequence[Mapping[str, Any]], origin: Origin
) -> Compared:
    """Wait until the store holds the last export, and compare what it holds then, or in the end.

    A series that is no longer exported keeps its last value: stores report it for a while.
    """
    counted: dict[Series, float] = {}
    for export in exports:
        counted.update(series(export, way, origin))
    deadline = time.monotonic() + _ARRIVES_WITHIN
    while True:
        rows = store.query(origin.selector)
        stored = {_as_series(row["metric"]): row["value"][1] for row in rows}
        found = _compared(counted, counted, stored, _PRECISION.get(way, 0.0))
        if not found.wrong or time.monotonic() > deadline:
            return found
        time.sleep(_POLL)


def compare_scraped(
    store: Store, read: Callable[[], Mapping[str, Any]], origin: Origin
) -> Compared:
    """Compare one scrape with what the program reports itself before and after it."""
    before, began = series(read(), Way.READER, origin), time.time()
    deadline = time.monotonic() + _ARRIVES_WITHIN
    stored: dict[Series, float] = {}
    while not stored and time.monotonic() < deadline:
        time.sleep(_POLL)
        samples = [
            (at, _as_series(row["metric"]), value)
            for row in store.samples(origin.selector, 30)
            for at, value in row["values"]
            if at > began
        ]
        scraped_at = min((at for at, _, _ in samples), default=None)
        stored = {one: value for at, one, value in samples if at == scraped_at}
    after = series(read(), Way.READER, origin)
    return _compared(before, after, stored, _PRECISION[Way.READER])


def _compared(
    lowest: Mapping[Series, float],
    highest: Mapping[Series, float],
    stored: Mapping[Series, float],
    precision: float,
) -> Compared:
    found = Compared()
    metrics = {one: name for name, metric in METRICS.items() for one in series_names(metric)}
    for one, first in lowest.items():
        last, value = highest.get(one, first), stored.get(one, math.nan)
        equal = first == last and math.isclose(value, first, rel_tol=precision)
        if equal or (first != last and min(first, last) <= value <= max(first, last)):
            found.agreed.add(metrics[one[0]])
        else:
            found.wrong.append(f"counted {first!r} to {last!r}, stored {value!r}: {one}")
    found.wrong += [
        f"not counted, stored {stored[one]:g}: {one}"
        for one in stored.keys() - lowest.keys()
        if one[0] in metrics
    ]
    return found

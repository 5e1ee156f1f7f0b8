"""What a program counted, as the series that Prometheus makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.prometheus import (
    SCOPE_LABELS,
    Way,
    label_name,
    metric_name,
)
from opentelemetry.instrumentation.gluellm.telemetry.semconv import Metric

Labels = frozenset[tuple[str, str]]
Series = tuple[str, Labels]
"""Its name and its labels; the bounds of buckets are spelled as Python does."""
METRICS = {metric.name: metric for metric in semconv.METRICS}


@dataclass(frozen=True)
class Origin:
    """Who counted: what becomes the labels that all series of one program have."""

    job: str
    instance: str
    resource: Mapping[str, str]
    """The resource attributes that the way makes labels of, by their key."""


def series(metrics: Mapping[str, Any], way: Way, origin: Origin) -> dict[str, dict[Series, float]]:
    """The series of an export or a read by the metric's name, with their values."""
    found: dict[str, dict[Series, float]] = {name: {} for name in METRICS}
    for resource in metrics["resource_metrics"]:
        for scope in resource["scope_metrics"]:
            common = {
                "job": origin.job,
                "instance": origin.instance,
                **{label_name(key): value for key, value in origin.resource.items()},
                **_of_scope(scope, way),
            }
            for metric in scope["metrics"]:
                for point in metric["data"]["data_points"]:
                    found[metric["name"]].update(_of_point(METRICS[metric["name"]], point, common))
    return found


def _of_scope(scope: Mapping[str, Any], way: Way) -> dict[str, str]:
    about = scope["scope"]
    known = {"name": about["name"], "version": about["version"], "schema_url": scope["schema_url"]}
    return {label: known[which] for which, label in SCOPE_LABELS[way].items()}


def _of_point(
    metric: Metric, point: Mapping[str, Any], common: Mapping[str, str]
) -> Iterator[tuple[Series, float]]:
    name = metric_name(metric)
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
        bucket = {**labels, "le": spelled(str(bound))}
        yield (f"{name}_bucket", frozenset(bucket.items())), float(below)


@cache
def spelled(bound: str) -> str:
    """A bucket's bound in one spelling: stores write 1, 1.0, inf, +Inf."""
    return str(float(bound))


def as_series(labels: Mapping[str, str]) -> Series:
    """A series as a store names it."""
    named = dict(labels)
    name = named.pop("__name__")
    if "le" in named:
        named["le"] = spelled(named["le"])
    return name, frozenset(named.items())

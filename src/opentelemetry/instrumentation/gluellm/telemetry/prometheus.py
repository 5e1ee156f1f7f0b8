"""The contract's names as Prometheus and its kin store them, by the way on which the data came.

Source: the OpenTelemetry specification's page on compatibility with Prometheus and OpenMetrics
(dots become underscores, the unit and ``_total`` become suffixes). ``tests/e2e`` holds
these names against what each store really has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from .semconv import Instrument, Metric

_UNITS: Final = {"s": "seconds"}
_RATIO: Final = "ratio"
_SEPARATORS: Final = re.compile(r"[^a-zA-Z0-9:]+")
HISTOGRAM_SUFFIXES: Final = ("_bucket", "_sum", "_count")
"""What a histogram with explicit buckets is stored as: one series name for each."""


class Way(StrEnum):
    """How metrics come into a store that speaks PromQL, in words for people."""

    COLLECTOR = "Collector's Prometheus exporter"
    PROMETHEUS = "Prometheus' OTLP endpoint"
    VICTORIA_METRICS = "VictoriaMetrics' OTLP endpoint"
    READER = "PrometheusMetricReader"


@dataclass(frozen=True, slots=True)
class Identity:
    """The labels that tell processes apart."""

    service: str
    """The label that ``service.name`` becomes."""
    instance: str
    """The label that ``service.instance.id`` becomes."""


IDENTITIES: Final = {
    Way.COLLECTOR: Identity("job", "instance"),
    Way.PROMETHEUS: Identity("job", "instance"),
    Way.VICTORIA_METRICS: Identity("job", "instance"),
    Way.READER: Identity("job", "instance"),
}
"""VictoriaMetrics has these with the relabeling of ``dashboards/dev`` only; by itself it has
``service_name`` and ``service_instance_id``. With a ``service.namespace`` the job is
``namespace/name``. A program that is scraped is called what its target's file says."""

_OTEL_SCOPE: Final = {
    "name": "otel_scope_name",
    "version": "otel_scope_version",
    "schema_url": "otel_scope_schema_url",
}
SCOPE_LABELS: Final[dict[Way, dict[str, str]]] = {
    Way.COLLECTOR: _OTEL_SCOPE,
    Way.PROMETHEUS: {},
    Way.VICTORIA_METRICS: {"name": "scope_name", "version": "scope_version"},
    Way.READER: _OTEL_SCOPE,
}
"""The labels that the instrumentation scope becomes, by what of it they tell."""


def metric_name(metric: Metric) -> str:
    """The name of its series; those of a histogram add one of `HISTOGRAM_SUFFIXES`."""
    tokens = [token for token in _SEPARATORS.split(metric.name) if token]
    unit = _UNITS.get(metric.unit)
    if unit is not None and unit not in tokens:
        tokens.append(unit)
    if metric.instrument == Instrument.OBSERVABLE_COUNTER:
        tokens = [*(token for token in tokens if token != "total"), "total"]
    if metric.unit == "1" and metric.instrument == Instrument.OBSERVABLE_GAUGE:
        tokens = [*(token for token in tokens if token != _RATIO), _RATIO]
    return "_".join(tokens)


def series_names(metric: Metric) -> tuple[str, ...]:
    """The names of all its series."""
    name = metric_name(metric)
    if metric.instrument == Instrument.HISTOGRAM:
        return tuple(name + suffix for suffix in HISTOGRAM_SUFFIXES)
    return (name,)


def label_name(key: str) -> str:
    """The label that an attribute key becomes."""
    return _SEPARATORS.sub("_", key)

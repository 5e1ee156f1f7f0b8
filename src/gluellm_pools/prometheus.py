"""The contract's names in Prometheus and compatible stores, by ingestion path.

Source: the OpenTelemetry specification, "Prometheus and OpenMetrics Compatibility" (dots become
underscores, the unit and ``_total`` become suffixes), as far as the contract needs it: no name of
it has its unit or ``total`` already, and gauges with the unit 1 end with ``ratio``. ``tests/e2e``
compares these names with the contents of each store.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from opentelemetry.instrumentation.gluellm.telemetry.semconv import Instrument, Metric

_SEPARATORS: Final = re.compile(r"[^a-zA-Z0-9:]+")
HISTOGRAM_SUFFIXES: Final = ("_bucket", "_sum", "_count")
"""Suffixes of the series names of a histogram with explicit buckets."""


class Way(StrEnum):
    """Ingestion paths into a store that supports PromQL, with their names for people."""

    COLLECTOR = "Collector's Prometheus exporter"
    PROMETHEUS = "Prometheus' OTLP endpoint"
    VICTORIA_METRICS = "VictoriaMetrics' OTLP endpoint"
    READER = "PrometheusMetricReader"


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
"""Labels made from the instrumentation scope on each ingestion path, by field of the scope."""


def metric_name(metric: Metric) -> str:
    """Return a metric's series name, for a histogram without its `HISTOGRAM_SUFFIXES`."""
    name = label_name(metric.name)
    if metric.unit == "s":
        name += "_seconds"
    if metric.instrument == Instrument.OBSERVABLE_COUNTER:
        name += "_total"
    return name


def series_names(metric: Metric) -> tuple[str, ...]:
    """Return the names of all series of a metric."""
    name = metric_name(metric)
    if metric.instrument == Instrument.HISTOGRAM:
        return tuple(name + suffix for suffix in HISTOGRAM_SUFFIXES)
    return (name,)


def label_name(key: str) -> str:
    """Return the label made from an attribute key."""
    return _SEPARATORS.sub("_", key)

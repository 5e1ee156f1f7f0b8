"""OTLP's data points as the view reads them, checked: senders are not trusted.

What is kept of a point is small, and no value in it can make a later sum, share or bar fail.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from ..text import printable_ends
from . import limits

_INSTRUMENTS = {metric.name: metric.instrument for metric in semconv.METRICS}
_PLAIN = ("string_value", "int_value", "double_value", "bool_value")
_NOT_CUMULATIVE = "set OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative, found another"

SeriesKey = tuple[str, bytes]
"""Name of a metric, and a digest of all attributes."""


class UnfitPointError(ValueError):
    """A point that can't be shown, and why."""


@dataclass(slots=True)
class Point:
    """A number or a histogram, with the fields of the SDK's points that the view reads."""

    attributes: Mapping[str, str]
    start: int
    """Nanoseconds since the epoch; 0 if missing, as for gauges."""
    time: int
    cumulative: bool
    """False for gauges."""
    monotonic: bool
    value: int | float = 0
    count: int = 0
    sum: float = 0.0
    bucket_counts: tuple[int, ...] = ()
    explicit_bounds: tuple[float, ...] | None = None
    """None for numbers and for exponential histograms, which are shown without waits."""
    max: float | None = None


def point_of(metric: Metric, kind: str, raw: Any) -> Point:
    """The point of a metric. Raises UnfitPointError."""
    instrument = _INSTRUMENTS[metric.name]
    is_histogram = kind in ("histogram", "exponential_histogram")
    if kind == "summary" or is_histogram != (instrument is semconv.Instrument.HISTOGRAM):
        raise UnfitPointError(f"found {kind.replace('_', ' ')}, expected another kind of metric")
    temporality = getattr(getattr(metric, kind), "aggregation_temporality", None)
    if temporality not in (AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE, None):
        raise UnfitPointError(_NOT_CUMULATIVE)
    point = Point(
        {
            p.key: distinct_name(attribute_text(p))
            for p in raw.attributes
            if p.key in semconv.ATTRIBUTES
        },
        raw.start_time_unix_nano,
        raw.time_unix_nano,
        cumulative=temporality is not None,
        monotonic=kind != "sum" or metric.sum.is_monotonic,
    )
    if is_histogram:
        point.count, point.sum = raw.count, raw.sum
        point.max = raw.max if raw.HasField("max") else None
        if kind == "histogram":
            point.explicit_bounds, point.bucket_counts = _buckets(raw)
    else:
        point.value = _number(raw)
        is_counter = instrument is semconv.Instrument.OBSERVABLE_COUNTER
        if point.value < 0 and (is_counter or metric.sum.is_monotonic):
            raise UnfitPointError("found a negative value of a monotonic counter")
    _check(point)
    return point


def series_of(raw: Any) -> bytes:
    """A digest of all attributes of a point, in any order."""
    pairs = sorted(pair.SerializeToString(deterministic=True) for pair in raw.attributes)
    return hashlib.blake2b(b"\0".join(pairs), digest_size=16).digest()


def _number(raw: Any) -> int | float:
    which = raw.WhichOneof("value")
    if which is None:
        raise UnfitPointError("a point has no value")
    value: int | float = getattr(raw, which)
    # A Collector may make doubles of counts.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _buckets(raw: Any) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Bounds and counts; both are empty if the sender left out the buckets."""
    if len(raw.explicit_bounds) > limits.BUCKETS:
        raise UnfitPointError(f"a histogram has more than {limits.BUCKETS} buckets")
    bounds, counts = tuple(raw.explicit_bounds), tuple(raw.bucket_counts)
    if (bounds or counts) and len(counts) != len(bounds) + 1:
        raise UnfitPointError(f"a histogram has {len(bounds)} bounds and {len(counts)} counts")
    ordered = all(a < b for a, b in itertools.pairwise(bounds))
    if not ordered or not all(map(math.isfinite, bounds)):
        raise UnfitPointError("the bounds of a histogram don't increase")
    return bounds, counts


def _check(point: Point) -> None:
    """Raise UnfitPointError for values that sums and shares can't contain."""
    numbers = (point.value, point.sum, point.max or 0.0, point.count, *point.bucket_counts)
    if not all(abs(number) <= limits.LARGEST_VALUE for number in numbers):  # false for NaN
        raise UnfitPointError("a value is not a number, or is too large")


def distinct_name(text: str) -> str:
    """The text, printable, and shortened so that different texts stay different."""
    if len(text) <= limits.NAME_CHARACTERS:
        return printable_ends(text, limits.NAME_CHARACTERS)
    mark = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=4).hexdigest()
    return printable_ends(text, limits.NAME_CHARACTERS, f"...{mark}...")


def attribute_text(pair: KeyValue) -> str:
    """Value of an attribute; empty for lists and the like."""
    which = pair.value.WhichOneof("value")
    return str(getattr(pair.value, which)) if which in _PLAIN else ""

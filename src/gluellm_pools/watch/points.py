"""OTLP's data points as the view reads them, after a check that their numbers are numbers.

The sender is not to be trusted: what is kept of a point is small, and nothing in it can make a
sum, a share or a bar fail later.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
)

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from ..text import printable, printable_ends
from ..view import ATTRIBUTES
from .limits import BUCKETS, LARGEST_VALUE, NAME_CHARACTERS

_HISTOGRAMS = frozenset(
    metric.name for metric in semconv.METRICS if metric.instrument is semconv.Instrument.HISTOGRAM
)
_COUNTERS = frozenset(
    metric.name
    for metric in semconv.METRICS
    if metric.instrument is semconv.Instrument.OBSERVABLE_COUNTER
)
_TEMPORALITIES = (
    AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE,
    AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA,
)
_LARGEST_COUNT = int(LARGEST_VALUE)


class UnfitPointError(ValueError):
    """A point that can't be shown, and why."""


@dataclass(slots=True)
class Point:
    """A number, or a histogram; what the SDK's points have, as far as the view reads it."""

    attributes: Mapping[str, str | int]
    start: int
    """Nanoseconds since the epoch; 0 where it is not told, as of all gauges."""
    time: int
    delta: bool = False
    resets: bool = False
    """Its start is when its counter began, so a later one tells of a restart."""
    monotonic: bool = False
    value: int | float = 0
    count: int = 0
    bucket_counts: tuple[int, ...] = ()
    explicit_bounds: tuple[float, ...] | None = None
    """None for numbers and for exponential histograms, which are shown without buckets."""
    max: float | None = None

    def add(self, before: Point) -> None:
        """Add up what came earlier of a delta series."""
        self.value += before.value
        self.count += before.count
        same = len(self.bucket_counts) == len(before.bucket_counts)
        if same and self.explicit_bounds == before.explicit_bounds:
            self.bucket_counts = tuple(
                a + b for a, b in zip(self.bucket_counts, before.bucket_counts, strict=True)
            )
        known = [value for value in (self.max, before.max) if value is not None]
        self.max = max(known, default=None)
        _check(self)


SeriesKey = tuple[str, bytes]
"""A metric's name, and a digest of all of its attributes."""


def points_of(metric: Metric) -> Iterator[tuple[SeriesKey, Point] | UnfitPointError]:
    """The metric's points, each with its series, or with what is wrong with it."""
    kind = metric.WhichOneof("data")
    if kind is None:
        return
    data = getattr(metric, kind)
    temporality = getattr(data, "aggregation_temporality", None)
    wanted = "a histogram" if metric.name in _HISTOGRAMS else "numbers"
    fits = (kind in ("histogram", "exponential_histogram")) == (metric.name in _HISTOGRAMS)
    for raw in data.data_points:
        try:
            if not fits or kind == "summary":
                raise UnfitPointError(f"found {kind.replace('_', ' ')}, expected {wanted}")
            if temporality is not None and temporality not in _TEMPORALITIES:
                raise UnfitPointError("its aggregation temporality is not set")
            point = _point(raw)
            if point.value < 0 and (metric.name in _COUNTERS or metric.sum.is_monotonic):
                raise UnfitPointError("found a negative value of what only grows")
        except UnfitPointError as error:
            yield UnfitPointError(f"{metric.name}: {error}")
            continue
        point.delta = temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
        point.resets = temporality is not None and not point.delta
        point.monotonic = kind != "sum" or metric.sum.is_monotonic
        yield (metric.name, _series(raw.attributes)), point


def _series(pairs: Iterable[KeyValue]) -> bytes:
    return digest_of(sorted(pair.SerializeToString(deterministic=True) for pair in pairs))


def _point(raw: Any) -> Point:
    point = Point(_attributes(raw.attributes), raw.start_time_unix_nano, raw.time_unix_nano)
    if isinstance(raw, NumberDataPoint):
        which = raw.WhichOneof("value")
        if which is None:
            raise UnfitPointError("a point has no value")
        point.value = getattr(raw, which)
        if isinstance(point.value, float) and point.value.is_integer():
            point.value = int(point.value)  # a count that became a double on its way
    elif isinstance(raw, (HistogramDataPoint, ExponentialHistogramDataPoint)):
        point.count = raw.count
        point.max = raw.max if raw.HasField("max") else None
    if isinstance(raw, HistogramDataPoint):
        point.explicit_bounds, point.bucket_counts = _buckets(raw)
    _check(point)
    return point


def _buckets(raw: HistogramDataPoint) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Bounds and counts; both are empty where the sender left buckets out."""
    if len(raw.explicit_bounds) > BUCKETS:
        raise UnfitPointError(f"a histogram has more than {BUCKETS} buckets")
    bounds, counts = tuple(raw.explicit_bounds), tuple(raw.bucket_counts)
    if not counts and not bounds:
        return bounds, counts
    if len(counts) != len(bounds) + 1:
        raise UnfitPointError(f"a histogram has {len(bounds)} bounds and {len(counts)} counts")
    ordered = all(a < b for a, b in itertools.pairwise(bounds))
    if not ordered or not all(map(math.isfinite, bounds)):
        raise UnfitPointError("the bounds of a histogram don't increase")
    return bounds, counts


def _check(point: Point) -> None:
    """Raise UnfitPointError for what can't be reckoned with."""
    numbers = (point.value, 0.0 if point.max is None else point.max)
    if not all(abs(number) <= LARGEST_VALUE for number in numbers):  # NaN is not, either
        raise UnfitPointError("a value is not a number, or is beyond all measure")
    if max(point.count, *point.bucket_counts, 0) > _LARGEST_COUNT:
        raise UnfitPointError("a count is beyond all measure")


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, str | int]:
    """Those that the view tells points apart by."""
    found: dict[str, str | int] = {}
    for pair in pairs:
        if pair.key not in ATTRIBUTES:
            continue
        text = text_of(pair)
        if pair.key != semconv.STATUS_CODE:
            found[pair.key] = _name(text)
        elif text.isascii() and text.isdecimal() and len(text) <= 3:
            found[pair.key] = int(text)
    return found


def _name(text: str) -> str:
    """The text, short: names that are apart stay apart, since pools are told apart by them."""
    if len(text) <= NAME_CHARACTERS:
        return printable(text, NAME_CHARACTERS)
    mark = digest_of([text.encode("utf-8", "replace")]).hex()[:8]
    return printable_ends(text, NAME_CHARACTERS, f"...{mark}...")


def text_of(pair: KeyValue) -> str:
    """An attribute's value; empty for lists and the like."""
    which = pair.value.WhichOneof("value")
    if which in ("string_value", "int_value", "double_value", "bool_value"):
        return str(getattr(pair.value, which))
    return ""


def digest_of(parts: Iterable[bytes]) -> bytes:
    """Short, and another one for other parts."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    return digest.digest()

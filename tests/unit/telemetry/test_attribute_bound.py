"""The bound on a histogram's attribute sets counts sets, not records."""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm.telemetry.attributes import (
    MAX_SETS,
    HistogramAttributes,
)
from unit.pool.fakes import Scene


def test_records_of_one_set_count_once() -> None:
    """Another histogram has many sets for the same origin."""
    origin = Scene().origin
    many, few = HistogramAttributes("acquire"), HistogramAttributes("create")
    for number in range(MAX_SETS):
        many.of(origin, model=f"model-{number}")
    for _ in range(MAX_SETS):
        few.of(origin, error="connect_timeout")
    assert few.of(origin, error="connection_error")["error.type"] == "connection_error"


def test_folded_records_leave_nothing_in_memory() -> None:
    """Each model beyond the bound is folded into one of the origin's two sets."""
    origin = Scene().origin
    histogram = HistogramAttributes("acquire")
    for number in range(MAX_SETS):
        histogram.of(origin, model=f"model-{number}")
    kept = len(origin.attributes.sets)
    for number in range(100):
        histogram.of(origin, model=f"further-{number}", error="cancelled")
    assert len(origin.attributes.sets) == kept == MAX_SETS

"""What a store holds of a program, beside what the program counted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from e2e.stores import Store
from opentelemetry.instrumentation.gluellm.telemetry.prometheus import Way, series_names

from .counted import METRICS, Origin, Series, as_series, series

_ARRIVES_WITHIN = 20.0
_POLL = 0.3
_PRECISION = {
    # It stores decimal numbers, and gave back sums with 13 digits.
    Way.VICTORIA_METRICS: 1e-11,
    # The SDK adds up a sum anew for each reader, between its collections: in another order.
    Way.READER: 1e-14,
}
"""Of two numbers, where not every bit must be the same."""
_TOLD = 3
"""How many of a cell's differences are told."""
_SELECTOR = '{{__name__=~"gluellm_.+|http_client_.+",job="{job}",instance="{instance}"}}'


@dataclass
class Cell:
    """One metric on one way."""

    equal: int = 0
    """Series with the very value that the program counted."""
    between: int = 0
    """Series that moved, with a value between two that the program counted."""
    wrong: list[str] = field(default_factory=list)
    """What is missing, too much, or another value."""

    def __str__(self) -> str:
        if self.wrong:
            more = len(self.wrong) - _TOLD
            return "; ".join([*self.wrong[:_TOLD], *([f"and {more} more"] if more > 0 else [])])
        moved = f", {self.between} of them between two reads" if self.between else ""
        return f"{self.equal + self.between} series, counted = stored{moved}"

    def add(self, other: Cell) -> None:
        """The same metric and way of another program, or at another moment."""
        self.equal += other.equal
        self.between += other.between
        self.wrong += other.wrong


Cells = dict[str, Cell]
"""By the metric's name."""


def compare_pushed(
    way: Way, store: Store, exports: Sequence[Mapping[str, Any]], origin: Origin
) -> Cells:
    """Wait until the store holds the last export, and tell what it holds then, or in the end.

    A series that is exported no more has its last value: a store goes on telling it for a while.
    """
    counted: dict[str, dict[Series, float]] = {name: {} for name in METRICS}
    for export in exports:
        for name, values in series(export, way, origin).items():
            counted[name].update(values)

    def look() -> Cells:
        rows = store.query(_SELECTOR.format(job=origin.job, instance=origin.instance))
        stored = {as_series(row["metric"]): row["value"][1] for row in rows}
        return _cells(counted, counted, stored, _PRECISION.get(way, 0.0))

    return _until_right(look)


def compare_scraped(store: Store, read: Callable[[], Mapping[str, Any]], origin: Origin) -> Cells:
    """Compare one scrape with what the program says of itself before and after it."""
    selector = _SELECTOR.format(job=origin.job, instance=origin.instance)
    before, began = series(read(), Way.READER, origin), time.time()
    deadline = time.monotonic() + _ARRIVES_WITHIN
    stored: dict[Series, float] = {}
    while not stored and time.monotonic() < deadline:
        time.sleep(_POLL)
        rows = [
            (row["metric"], [sample for sample in row["values"] if sample[0] > began])
            for row in store.samples(selector, 30)
        ]
        scraped_at = min((values[0][0] for _, values in rows if values), default=None)
        stored = {
            as_series(metric): value
            for metric, values in rows
            for at, value in values
            if at == scraped_at
        }
    after = series(read(), Way.READER, origin)
    return _cells(before, after, stored, _PRECISION[Way.READER])


def add_all(table: dict[Way, Cells], way: Way, cells: Cells) -> None:
    """Add the cells to a table's column."""
    column = table.setdefault(way, {name: Cell() for name in METRICS})
    for name, cell in cells.items():
        column[name].add(cell)


def _until_right(look: Callable[[], Cells]) -> Cells:
    deadline = time.monotonic() + _ARRIVES_WITHIN
    while True:
        cells = look()
        if not any(cell.wrong for cell in cells.values()) or time.monotonic() > deadline:
            return cells
        time.sleep(_POLL)


def _cells(
    lowest: Mapping[str, Mapping[Series, float]],
    highest: Mapping[str, Mapping[Series, float]],
    stored: Mapping[Series, float],
    precision: float,
) -> Cells:
    by_name: dict[str, dict[Series, float]] = {}
    for one, value in stored.items():
        by_name.setdefault(one[0], {})[one] = value
    cells = {}
    for name, metric in METRICS.items():
        cell = cells[name] = Cell()
        left = {
            one: value
            for stored_name in series_names(metric)
            for one, value in by_name.get(stored_name, {}).items()
        }
        for one, first in lowest[name].items():
            value = left.pop(one, None)
            _judge(cell, one, value, first, highest[name].get(one, first), precision)
        cell.wrong += [
            f"not counted, stored {value:g}: {_told(one)}" for one, value in left.items()
        ]
    return cells


def _judge(
    cell: Cell, one: Series, stored: float | None, first: float, last: float, precision: float
) -> None:
    if stored is None:
        cell.wrong.append(f"counted {first!r}, not stored: {_told(one)}")
    elif first == last and math.isclose(stored, first, rel_tol=precision):
        cell.equal += 1
    elif first != last and min(first, last) <= stored <= max(first, last):
        cell.between += 1
    else:
        cell.wrong.append(f"counted {first!r} to {last!r}, stored {stored!r}: {_told(one)}")


def _told(one: Series) -> str:
    name, labels = one
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in sorted(labels)) + "}"

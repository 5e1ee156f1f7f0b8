"""Rows of an answer to a query, as Store.query() gives them."""

from __future__ import annotations

import math
from typing import Any

from .asking import RefusedError
from .facts import Labels


def labels_of(row: dict[str, Any], *, keep_name: bool = False) -> Labels:
    """The labels of one row, its name left out unless it is asked for."""
    metric = row.get("metric")
    if not isinstance(metric, dict):
        return {}
    return {
        str(label): str(value)
        for label, value in metric.items()
        if keep_name or label != "__name__"
    }


def number_of(row: dict[str, Any]) -> float:
    """The value of one row of an instant query, which is finite. Raises RefusedError."""
    pair = row.get("value")
    value = float(pair[1]) if pair else math.nan  # a histogram has none
    if not math.isfinite(value):
        raise RefusedError("the answer is no number where only a number makes sense")
    return value


def times_of(row: dict[str, Any]) -> list[float]:
    """When the samples of one row of a range selector were taken; none where it is another."""
    return [float(pair[0]) for pair in row.get("values", ())]


def values_of(row: dict[str, Any]) -> list[float]:
    """The samples of one row of a range selector; none where it is another."""
    return [float(pair[1]) for pair in row.get("values", ())]

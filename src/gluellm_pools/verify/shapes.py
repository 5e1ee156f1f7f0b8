"""The shape of what a store answers, checked once where it comes in.

What answers may be broken, or not mean well: whoever reads a row after this finds what the HTTP API
promises, and an answer that would fill the memory is refused before it is parsed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

MOST_MARKS = 1_000_000
"""Commas, braces and brackets that open, in one text. 10 000 series with 30 labels have a third."""


class ShapeError(ValueError):
    """The text is none that is read; the message says why."""


def parsed(body: bytes) -> Any:
    """The JSON in a body. Raises ShapeError where it is none, too large or too deep."""
    # An empty object takes three bytes, and a hundred times that once it is parsed.
    if sum(map(body.count, (b",", b"{", b"["))) > MOST_MARKS:
        raise ShapeError(f"it holds more than {MOST_MARKS} values")
    try:
        return json.loads(body.decode("utf-8-sig", "replace"))
    except ValueError:
        raise ShapeError("it is no JSON") from None
    except RecursionError:
        raise ShapeError("it is nested too deep") from None


def cleaned(value: Any, clean: Callable[[str], str]) -> Any:
    """The same with each text, keys included, as ``clean`` has it. Raises RecursionError."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [cleaned(one, clean) for one in value]
    if isinstance(value, dict):
        return {clean(key): cleaned(one, clean) for key, one in value.items()}
    return value


def whole(text: str) -> str:
    """The text with each half of a surrogate pair replaced: nothing can send or print these."""
    return (
        text
        if text.isascii()
        else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )


def rows_of(data: Any) -> list[dict[str, Any]] | None:
    """The rows of a query's answer; None where it is no such answer.

    A row has labels in ``metric`` and, unless it is a histogram, a ``value`` or ``values``: pairs
    of a time in seconds and a number, which may be NaN.
    """
    if not isinstance(data, dict) or not isinstance(result := data.get("result"), list):
        return None
    kind = data.get("resultType")
    if kind == "string":
        return [{"metric": {}, "value": [0, "NaN"]}]
    if kind == "scalar":
        result = [{"metric": {}, "value": result}]
    return result if all(map(_is_row, result)) else None


def _is_row(row: Any) -> bool:
    if not isinstance(row, dict) or not isinstance(row.get("metric", {}), dict):
        return False
    values = row.get("values", [])
    return (
        ("value" not in row or _is_pair(row["value"]))
        and isinstance(values, list)
        and all(map(_is_pair, values))
    )


def _is_pair(pair: Any) -> bool:
    if not isinstance(pair, list) or len(pair) != 2:
        return False
    try:
        when, _ = map(float, pair)
    except (TypeError, ValueError, OverflowError):
        return False
    return math.isfinite(when)

"""What Grafana fills into a board's queries: variables, steps, windows. Nothing is asked here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

ALL: Final = "$__all"
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
# Steps that Grafana rounds to: the nearest of these.
_STEPS: Final = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800)
_DEFAULT_MIN_STEP: Final = 15.0
"""Seconds: the scrape interval of a data source that says nothing else."""
_MOST_POINTS: Final = 11_000
"""Prometheus refuses more in one series."""
_PLACE: Final = re.compile(r"\$(\w+)|\$\{(\w+)(?::\w+)?\}|\[\[(\w+)\]\]")


@dataclass(frozen=True, slots=True)
class Span:
    """A time range, in seconds since the epoch."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start

    def aligned(self, step: float) -> Span:
        """With both ends on a multiple of the step, so that a picture doesn't depend on when."""
        return Span(self.start // step * step, self.end // step * step)


def seconds(duration: str) -> float:
    """Of ``15s``, ``1h``, ``100ms``. Raises ValueError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|[smhdw])", duration.strip())
    if found is None:
        raise ValueError(f"{duration!r} is no duration: write it like 15s, 5m or 1h")
    return float(found[1]) * _UNITS[found[2]]


def duration(length: float) -> str:
    """As PromQL writes it, in seconds where it is whole."""
    return f"{length:.0f}s" if length == int(length) else f"{length * 1000:.0f}ms"


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with its variables replaced; what has no value stays, as in Grafana."""

    def value(place: re.Match[str]) -> str:
        name = next(group for group in place.groups() if group)
        return values.get(name, place[0])

    return _PLACE.sub(value, text)


def matcher(chosen: Sequence[str], all_value: str | None, known: Sequence[str]) -> str:
    """What a variable that takes several values puts into a query: a regular expression."""
    if ALL in chosen and all_value:
        return all_value
    # PromQL's strings take a backslash away, so that an escaped point has two.
    escaped = [re.escape(one).replace("\\", "\\\\") for one in (known if ALL in chosen else chosen)]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def step(span: Span, points: int, min_step: float) -> float:
    """Seconds between two points of a panel that has room for so many."""
    wanted = span.seconds / points
    rounded = next(
        (low for low, high in pairwise(_STEPS) if wanted < (low + high) / 2), float(_STEPS[-1])
    )
    return max(rounded, min_step, span.seconds / _MOST_POINTS)


def windows(span: Span, points: int, minimum: str) -> dict[str, str]:
    """Grafana's own variables for a query with this minimal step (empty: the data source's)."""
    min_step = seconds(minimum) if minimum else _DEFAULT_MIN_STEP
    interval = step(span, points, min_step)
    # A window that holds at least two samples wherever it begins, and leaves none between windows.
    rate = max(interval + min_step, 4 * min_step)
    return {
        "__interval": duration(interval),
        "__interval_ms": f"{interval * 1000:.0f}",
        "__rate_interval": duration(rate),
        "__range": duration(round(span.seconds)),
        "__range_s": f"{span.seconds:.0f}",
        "__range_ms": f"{span.seconds * 1000:.0f}",
    }

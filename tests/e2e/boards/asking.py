"""Queries with a board's places filled in, asked for the whole story at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry.instrumentation.gluellm.cli.verify.boards import (
    Board,
    Variable,
    filled_in,
    read_boards,
)

from ..stores import Store
from .playing import WINDOW, Period, Story, Way
from .rules import RULES

BOARDS: Final = RULES.parent / "grafana"
STEP: Final = 0.5
"""Seconds between two values of an answer."""
_EVERYTHING: Final = ".*"
_WINDOW: Final = f"{WINDOW * 1000:.0f}ms"
_BUILT_IN: Final = {
    "__rate_interval": _WINDOW,
    "__interval": _WINDOW,
    "__range": "60s",
    "interval": "500ms",
}

Samples = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Question:
    """A query of a panel."""

    panel: str
    """Its title."""
    expression: str
    """As it stands in the board."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a store said for the whole story."""

    series: list[tuple[Mapping[str, str], Samples]] = field(default_factory=list)
    error: str = ""

    def during(self, period: Period, **labels: str) -> list[float]:
        """The values of an act, of the series that have these labels."""
        return [
            value
            for found, samples in self.series
            if labels.items() <= found.items()
            for at, value in samples
            if period.began <= at <= period.ended
        ]

    def highest(self, period: Period, **labels: str) -> float:
        """The highest value of an act; minus infinity where there is none."""
        values = [value for value in self.during(period, **labels) if not math.isnan(value)]
        return max(values, default=-math.inf)


def boards() -> list[Board]:
    """Those that users import."""
    return read_boards([BOARDS])


def questions_of(board: Board) -> list[Question]:
    """Its panels' queries, each once."""
    return list(dict.fromkeys(Question(one.panel, one.expression) for one in board.targets))


def filled(expression: str, variables: tuple[Variable, ...], **chosen: str) -> str:
    """As Grafana asks it, with these choices and everything else left at all."""
    names = {variable.name: _EVERYTHING for variable in variables}
    return filled_in(expression, {**names, **_BUILT_IN, **chosen})


def ask(way: Way, story: Story, expression: str) -> Answer:
    """From the first act to the end of the last one."""
    return ask_between(way.store, expression, story.began, story.ended + STEP)


def ask_between(store: Store, expression: str, began: float, ended: float) -> Answer:
    """Whatever it says; an error is an answer as well."""
    parameters = {
        "query": expression,
        "start": f"{began:.3f}",
        "end": f"{ended:.3f}",
        "step": f"{STEP:g}",
    }
    try:
        body: dict[str, Any] = store.ask("/api/v1/query_range", parameters)
    except RuntimeError as error:
        return Answer(error=str(error))
    return Answer(
        [
            (row["metric"], [(float(at), float(value)) for at, value in row["values"]])
            for row in body["result"]
        ]
    )

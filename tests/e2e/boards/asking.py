"""Evaluate a board's queries, with its variables filled in, over the whole demo."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from gluellm_pools.verify.boards import Variable, filled_in, read_board

from ..files import GRAFANA
from ..stores import Store
from .playing import WINDOW, Period, Story, Way

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
_LEGEND: Final = re.compile(r"\{\{(\w+)\}\}")

Samples = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Question:
    """A query of a panel."""

    panel: str
    """Title of the panel."""
    expression: str
    """The query as the board's file has it."""
    labels: tuple[str, ...]
    """Labels shown in its legend or in the columns of its table."""


@dataclass(frozen=True, slots=True)
class Asking:
    """A board and all its queries."""

    title: str
    variables: tuple[Variable, ...]
    questions: tuple[Question, ...]
    annotations: Mapping[str, str]
    """Queries of the annotations, by name."""

    @property
    def expressions(self) -> list[str]:
        """Queries of the panels and the annotations."""
        return [*(question.expression for question in self.questions), *self.annotations.values()]


@dataclass(frozen=True, slots=True)
class Answer:
    """A store's result for a range of time."""

    series: list[tuple[Mapping[str, str], Samples]] = field(default_factory=list)
    error: str = ""

    def during(self, period: Period, **labels: str) -> list[float]:
        """Return the values within a period of the series that have these labels."""
        return [
            value
            for found, samples in self.series
            if labels.items() <= found.items()
            for at, value in samples
            if period.began <= at <= period.ended
        ]

    def has_label(self, name: str) -> bool:
        """Return whether one of the series has this label."""
        return any(labels.get(name) for labels, _ in self.series)


def boards() -> list[Asking]:
    """Read the boards that users import."""
    found = []
    for file in sorted(GRAFANA.glob("*.json")):
        body = json.loads(file.read_text())
        annotations = {
            one["name"]: one["expr"] for one in body["annotations"]["list"] if "expr" in one
        }
        questions = tuple(dict.fromkeys(_questions(body)))
        board = read_board(file)
        assert board is not None
        found.append(Asking(board.title, board.variables, questions, annotations))
    return found


def _questions(body: dict[str, Any]) -> Iterator[Question]:
    for panel in body["panels"]:
        yield from _questions({"panels": panel.get("panels", [])})
        columns = [
            name
            for transformation in panel.get("transformations", [])
            for name in transformation["options"].get("renameByName", {})
            if not name.startswith("Value")
        ]
        for target in panel.get("targets", []):
            legend = _LEGEND.findall(target.get("legendFormat", ""))
            yield Question(panel["title"], target["expr"], (*legend, *columns))


def filled(expression: str, variables: tuple[Variable, ...], **chosen: str) -> str:
    """Fill in a query as Grafana does: the chosen variables, and "All" for the others."""
    names = {variable.name: _EVERYTHING for variable in variables}
    return filled_in(expression, {**names, **_BUILT_IN, **chosen})


def ask(way: Way, story: Story, expression: str) -> Answer:
    """Evaluate a query from the first act to the end of the last one."""
    return ask_between(way.store, expression, story.began, story.ended + STEP)


@cache
def ask_between(store: Store, expression: str, began: float, ended: float) -> Answer:
    """Evaluate a query over a range. Cached, since the demo is over; errors are returned too."""
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

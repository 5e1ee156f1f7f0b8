"""The queries that Grafana sends when a board is opened, with its range, steps and variables."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from opentelemetry.instrumentation.gluellm.cli.verify.boards import read_board
from opentelemetry.instrumentation.gluellm.cli.verify.variables import (
    filled_in,
    label_query,
    unknown_variables,
    value_of,
)

BOARDS: Final = Path(__file__).parents[3] / "dashboards" / "grafana"
_WIDTH: Final = 1840
"""Pixels of a board in a window of 1 920, beside the navigation; a panel has its share in 24ths."""
_SCRAPE: Final = 15
"""Seconds: Grafana's default of a data source, where a panel has no Min step."""
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# What Grafana rounds a step to, in seconds (packages/grafana-data, rangeutil.roundInterval): up to
# the first bound it is the step before it.
_ROUNDED: Final = (
    (1.5, 1), (3.5, 2), (7.5, 5), (12.5, 10), (17.5, 15), (25, 20), (45, 30), (90, 60),
    (210, 120), (450, 300), (750, 600), (1050, 900), (1500, 1200), (2700, 1800), (5400, 3600),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of a board."""

    board: str
    panel: str
    expression: str
    start: int
    end: int
    step: int
    """Seconds; 0 for an instant query. ``start`` and ``end`` are multiples of it."""
    label: str = ""
    """Whose values a variable asks for; empty otherwise."""

    @property
    def fault(self) -> str:
        """What is wrong with it before it is asked."""
        # Not those of label_replace(), which are numbers.
        unknown = [one for one in unknown_variables(self.expression, ()) if not one.isdigit()]
        return f"the board has no variable {', '.join(unknown)}" if unknown else ""

    @property
    def path(self) -> str:
        """Of Prometheus' API."""
        if self.label:
            return f"/api/v1/label/{self.label}/values"
        return "/api/v1/query_range" if self.step else "/api/v1/query"

    @property
    def parameters(self) -> dict[str, str]:
        """Its parameters."""
        if self.label:
            matches = {"match[]": self.expression} if self.expression else {}
            return {"start": str(self.start), "end": str(self.end), **matches}
        if not self.step:
            return {"query": self.expression, "time": str(self.end)}
        start, end = (str(at - at % self.step) for at in (self.start, self.end))
        return {"query": self.expression, "start": start, "end": end, "step": str(self.step)}


class Board:
    """One board, as its file has it."""

    def __init__(self, file: Path) -> None:
        self._json: dict[str, Any] = json.loads(file.read_text())
        self._variables = [v for v in read_board(file).variables if v.kind != "datasource"]
        self.name = file.stem
        self._range = _seconds(self._json["time"]["from"].removeprefix("now-"))
        """Of its default, up to now."""

    def opened(self, end: int, first: Callable[[Asked], str]) -> dict[str, str]:
        """The values of variables when the board is opened.

        ``first`` gives the first value that a variable can have: what Grafana chooses where the
        board has chosen nothing.
        """
        values: dict[str, str] = {}
        for variable in self._variables:
            options = None
            if not variable.chosen and not variable.has_all:
                (asked,) = self._of_variables(end, values, variable.name)
                options = [first(asked)]
            values[variable.name] = value_of(variable, options)
        return values

    def asked(self, end: int, values: dict[str, str]) -> Iterator[Asked]:
        """All requests for the default range up to ``end``, by the values of variables."""
        yield from self._of_variables(end, values)
        for annotation in self._json.get("annotations", {}).get("list", ()):
            if annotation.get("expr"):
                least = _seconds(annotation.get("step", "60s"))
                step = max(_rounded(self._range / _WIDTH), least)
                expression = filled_in(annotation["expr"], values | self._times(step))
                yield self._asked(f"({annotation['name']})", expression, end, step)
        panels = [*self._json["panels"]]
        for panel in panels:
            panels += panel.get("panels", [])  # of a row
            for target in panel.get("targets", ()):
                if target.get("expr") and not target.get("hide"):
                    yield from self._of_target(panel, target, end, values)

    def _of_variables(self, end: int, values: Mapping[str, str], name: str = "") -> Iterator[Asked]:
        for variable in self._variables:
            if (label := label_query(variable)) and name in ("", variable.name):
                selector = filled_in(label[1], values)
                yield self._asked(f"${variable.name}", selector, end, 0, label=label[0])

    def _of_target(
        self, panel: Mapping[str, Any], target: Mapping[str, Any], end: int, values: dict[str, str]
    ) -> Iterator[Asked]:
        least = target.get("interval") or panel.get("interval") or f"{_SCRAPE}s"
        least_seconds = _seconds(filled_in(least, values))
        points = panel.get("maxDataPoints") or _WIDTH * panel["gridPos"]["w"] // 24
        step = max(_rounded(self._range / points), least_seconds)
        expression = filled_in(target["expr"], values | self._times(step, least_seconds))
        both = (("range", step), ("instant", 0))
        for at in [at for name, at in both if target.get(name)] or [step]:
            yield self._asked(panel.get("title", ""), expression, end, at)

    def _asked(self, panel: str, expression: str, end: int, step: int, *, label: str = "") -> Asked:
        return Asked(self.name, panel, expression, end - self._range, end, step, label)

    def _times(self, step: int, least: int = _SCRAPE) -> dict[str, str]:
        return {
            "__interval": f"{step}s",
            "__rate_interval": f"{max(step + least, 4 * least)}s",
            "__range": f"{self._range}s",
            "__range_s": str(self._range),
        }


def boards() -> list[Board]:
    """All boards, by their names."""
    return [Board(file) for file in sorted(BOARDS.glob("*.json"))]


def _seconds(duration: str) -> int:
    return int(duration[:-1]) * _UNITS[duration[-1]]


def _rounded(exact: float) -> int:
    rounded = (step for bound, step in _ROUNDED if exact < bound)
    return next(rounded, math.ceil(exact / 3600) * 3600)

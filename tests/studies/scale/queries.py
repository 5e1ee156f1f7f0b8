"""The queries that Grafana sends when a board is opened, with its range, steps and variables."""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

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
_VARIABLE: Final = re.compile(r"\$\{(?P<braced>\w+)(?::(?P<format>\w+))?\}|\$(?P<plain>\w+)")
_GROUPS: Final = frozenset(f"${number}" for number in range(10))
"""Of label_replace()."""
_LABEL_VALUES: Final = re.compile(r"^label_values\((?:(?P<selector>.*),\s*)?(?P<label>\w+)\)$")


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
        unknown = sorted({match[0] for match in _VARIABLE.finditer(self.expression)} - _GROUPS)
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
        start, end = (at - at % self.step for at in (self.start, self.end))
        times = {"start": str(start), "end": str(end), "step": str(self.step)}
        return {"query": self.expression, **times}


class Board:
    """One board, as its file has it."""

    def __init__(self, file: Path) -> None:
        self._json: dict[str, Any] = json.loads(file.read_text())
        self.name = file.stem
        self.range = seconds(self._json["time"]["from"].removeprefix("now-"))
        """Of its default, up to now."""

    def opened(self, end: int, first: Callable[[Asked], str]) -> dict[str, str]:
        """The values of variables when the board is opened.

        ``first`` gives the first value that a variable can have: what Grafana chooses where the
        board has chosen nothing.
        """
        values: dict[str, str] = {}
        for variable in self._json["templating"]["list"]:
            if variable["type"] == "datasource":
                continue
            value = _chosen(variable)
            values[variable["name"]] = (
                first(self._of_variable(variable, end, values)) if value is None else value
            )
        return values

    def asked(self, end: int, values: dict[str, str]) -> Iterator[Asked]:
        """All requests for the default range up to ``end``, by the values of variables."""
        for variable in self._json["templating"]["list"]:
            if variable["type"] == "query":
                yield self._of_variable(variable, end, values)
        for annotation in self._json.get("annotations", {}).get("list", ()):
            if annotation.get("expr"):
                step = _step(self.range, _WIDTH, seconds(annotation.get("step", "60s")))
                expression = _filled(annotation["expr"], values | _times(self.range, step))
                yield self._asked(f"({annotation['name']})", expression, end, step)
        for panel in _panels(self._json["panels"]):
            yield from self._of_panel(panel, end, values)

    def _of_variable(
        self, variable: Mapping[str, Any], end: int, values: Mapping[str, str]
    ) -> Asked:
        query = variable["query"]
        match = _LABEL_VALUES.match(query["query"] if isinstance(query, dict) else query)
        if match is None:
            raise ValueError(f"{self.name}: ${variable['name']} is no label_values(): {query}")
        selector = _filled(match["selector"] or "", values)
        return self._asked(f"${variable['name']}", selector, end, 0, label=match["label"])

    def _of_panel(
        self, panel: Mapping[str, Any], end: int, values: dict[str, str]
    ) -> Iterator[Asked]:
        for target in panel.get("targets", ()):
            if not target.get("expr") or target.get("hide"):
                continue
            least = target.get("interval") or panel.get("interval") or f"{_SCRAPE}s"
            least_seconds = seconds(_filled(least, values))
            points = panel.get("maxDataPoints") or _WIDTH * panel["gridPos"]["w"] // 24
            step = _step(self.range, points, least_seconds)
            times = _times(self.range, step, least_seconds)
            expression = _filled(target["expr"], values | times)
            both = (("range", step), ("instant", 0))
            wanted = [at for name, at in both if target.get(name)] or [step]
            for at in wanted:
                yield self._asked(panel.get("title", ""), expression, end, at)

    def _asked(self, panel: str, expression: str, end: int, step: int, *, label: str = "") -> Asked:
        return Asked(self.name, panel, expression, end - self.range, end, step, label)


def boards() -> list[Board]:
    """All boards, by their names."""
    return [Board(file) for file in sorted(BOARDS.glob("*.json"))]


def seconds(duration: str) -> int:
    """Of a duration as ``5m``."""
    found = re.fullmatch(r"(\d+)([smhd])", duration)
    if found is None:
        raise ValueError(f"no duration: {duration!r}")
    return int(found[1]) * _UNITS[found[2]]


def _chosen(variable: Mapping[str, Any]) -> str | None:
    """What the board's file has chosen, if anything."""
    value = variable.get("current", {}).get("value")
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    if value == "$__all":
        if not variable.get("allValue"):
            raise ValueError(f"${variable['name']} lists all of its values when none is chosen")
        return str(variable["allValue"])
    return str(value) if value else None


def _panels(panels: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for panel in panels:
        yield panel
        yield from _panels(panel.get("panels", []))


def _step(range_: int, points: int, least: int) -> int:
    return max(_rounded(range_ / points), least)


def _rounded(exact: float) -> int:
    for bound, rounded in _ROUNDED:
        if exact < bound:
            return rounded
    return math.ceil(exact / 3600) * 3600


def _times(range_: int, step: int, least: int = _SCRAPE) -> dict[str, str]:
    return {
        "__interval": f"{step}s",
        "__rate_interval": f"{max(step + least, 4 * least)}s",
        "__range": f"{range_}s",
        "__range_s": str(range_),
    }


def _filled(text: str, values: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name = match["braced"] or match["plain"]
        return values.get(name, match[0])  # as Grafana does

    return _VARIABLE.sub(value, text)

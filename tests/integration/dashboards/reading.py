"""Read boards from their files, and fill in their queries as Grafana does."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import promql_parser

from gluellm_dashboards.build import ROOT

FILES: Final = sorted((ROOT / "grafana").glob("*.json"))
BUILT_IN: Final = {
    "__rate_interval": "4m",
    "__interval": "1m",
    "__url_time_range": "from=now-1h&to=now",
}
"""Grafana's built-in variables that the boards use."""
_VARIABLE: Final = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")
_PARTS: Final = ("lhs", "rhs", "expr", "param", "args", "vector_selector")


@dataclass(frozen=True, slots=True)
class Asked:
    """A query of a board."""

    board: str
    place: str
    """The panel's title, or the annotation's name."""
    expression: str
    """The query with Grafana's variables."""

    @property
    def filled(self) -> str:
        """The query with values in place of the variables."""
        return _VARIABLE.sub(
            lambda found: BUILT_IN.get(found[1] or found[2], ".*"), self.expression
        )

    @property
    def variables(self) -> set[str]:
        """Variables that the query uses."""
        return variables(self.expression)


def document(file: Path) -> dict[str, Any]:
    """Read a board's file."""
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def headed(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Return its panels, including those in collapsed rows, and the headings of rows."""
    return [one for panel in board["panels"] for one in (panel, *panel.get("panels", []))]


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Return its panels, without the headings of rows."""
    return [panel for panel in headed(board) if panel["type"] != "row"]


def questions() -> list[Asked]:
    """Return all queries of all boards: of panels, and of annotations in both of their forms."""
    found = []
    for file in FILES:
        board = document(file)
        found += [
            Asked(board["uid"], panel["title"], target["expr"])
            for panel in panels(board)
            for target in panel.get("targets", [])
        ]
        for annotation in board["annotations"]["list"]:
            found.append(Asked(board["uid"], annotation["name"], annotation["expr"]))
            found.append(Asked(board["uid"], annotation["name"], annotation["target"]["expr"]))
    return found


def variables(text: str) -> set[str]:
    """Return the names of Grafana's variables in a text."""
    return {found[1] or found[2] for found in _VARIABLE.finditer(text)}


def nodes(expression: Any) -> Iterator[Any]:
    """Yield the parts of parsed PromQL, outermost first."""
    yield expression
    for name in _PARTS:
        part = getattr(expression, name, None)
        for one in part if isinstance(part, list) else [part]:
            if one is not None:
                yield from nodes(one)


def selectors(promql: str) -> list[Any]:
    """Return the selectors of a query. Raises ValueError for invalid PromQL."""
    return [
        node
        for node in nodes(promql_parser.parse(promql))
        if isinstance(node, promql_parser.VectorSelector)
    ]


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}

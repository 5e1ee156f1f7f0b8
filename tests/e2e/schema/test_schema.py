"""Grafana's own types accept each board, on the line of now and on the one before."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from e2e.running import find

from .checking import LINES, Errors, check

GRAFANA = Path(__file__).parents[3] / "dashboards" / "grafana"
NAMES = sorted(file.stem for file in GRAFANA.glob("*.json"))
Board = dict[str, Any]
Check = Callable[[dict[str, Board]], Errors]


def _panel(board: Board, kind: str) -> Any:
    return next(panel for panel in board["panels"] if panel["type"] == kind)


def _closed(board: Board) -> Any:
    """A row that holds panels, and what is in it."""
    row = {"type": "row", "id": 900, "title": "Closed", "collapsed": True, "panels": []}
    row["gridPos"] = {"h": 1, "w": 24, "x": 0, "y": 900}
    inside = {**copy.deepcopy(_panel(board, "timeseries")), "id": 901}
    row["panels"] = [inside]
    board["panels"].append(row)
    return inside


# What somebody may get wrong, each at another place: the kind of panel ("" for the board), the path
# in it, and what is put there.
_STAT, _GRAPH, _TABLE = "stat", "timeseries", "table"
_FIELD = ("fieldConfig", "defaults")
WRONG: dict[str, tuple[str, tuple[str | int, ...], object]] = {
    "a_title_that_is_a_number": ("", ("title",), 3),
    "an_unknown_property_of_a_board": ("", ("tag",), "gluellm"),
    "no_schema_version": ("", ("schemaVersion",), None),
    "an_unknown_kind_of_variable": ("", ("templating", "list", 0, "type"), "list"),
    "an_unknown_refresh_of_a_variable": ("", ("templating", "list", 1, "refresh"), 7),
    "an_unknown_property_of_an_annotation": ("", ("annotations", "list", 0, "colour"), "red"),
    "an_unknown_property_of_a_panel": (_STAT, ("height",), 3),
    "an_unknown_property_in_a_closed_row": ("closed", ("height",), 3),
    "an_unknown_option_of_a_panel": (_STAT, ("options", "mode"), "x"),
    "an_unknown_value_of_an_option": (_STAT, ("options", "textMode"), "number"),
    "an_unknown_option_of_a_legend": (_GRAPH, ("options", "legend", "show"), True),
    "an_unknown_setting_of_a_field": (_GRAPH, (*_FIELD, "units"), "s"),
    "an_unknown_color_mode": (_GRAPH, (*_FIELD, "color"), {"mode": "palette"}),
    "an_unknown_custom_setting": (_GRAPH, (*_FIELD, "custom", "fill"), 3),
    "a_custom_setting_of_the_wrong_type": (_GRAPH, (*_FIELD, "custom", "lineWidth"), "2"),
    "an_override_of_an_unknown_setting": (_TABLE, ("overrides",), ("units", "s")),
    "an_override_of_an_unknown_custom_setting": (_TABLE, ("overrides",), ("custom.colour", "red")),
    "an_override_of_the_wrong_type": (_TABLE, ("overrides",), ("max", "1")),
    "a_threshold_without_a_color": (
        _GRAPH,
        (*_FIELD, "thresholds"),
        {"mode": "absolute", "steps": [{"value": None}]},
    ),
    "an_unknown_property_of_a_query": (_STAT, ("targets", 0, "legend"), "x"),
    "an_unknown_format_of_a_query": (_STAT, ("targets", 0, "format"), "heat"),
    "a_link_without_an_address": (_GRAPH, (*_FIELD, "links"), [{"title": "x"}]),
    "a_width_that_is_a_text": ("row", ("gridPos", "w"), "24"),
}


def _spoilt(board: Board, kind: str, path: tuple[str | int, ...], value: Any) -> Board:
    """A copy of the board with this wrong in it."""
    board = copy.deepcopy(board)
    holder = _closed(board) if kind == "closed" else _panel(board, kind) if kind else board
    if path == ("overrides",):
        override = {
            "matcher": {"id": "byName", "options": "x"},
            "properties": [{"id": value[0], "value": value[1]}],
        }
        holder["fieldConfig"]["overrides"].append(override)
        return board
    for key in path[:-1]:
        holder = holder[key]
    if value is None:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return board


@pytest.fixture
def checking(line: str, tmp_path: Path) -> Check:
    """``tsc`` with the types of one line."""
    packages = find("grafana-schema")
    return lambda boards: check(boards, line, packages, tmp_path)


def _read(name: str) -> Board:
    board: Board = json.loads((GRAFANA / f"{name}.json").read_text())
    return board


@pytest.mark.parametrize("line", LINES)
def test_grafana_s_types_accept_each_board(checking: Check) -> None:
    """Every option of every panel is one that this line has, of a type that it takes."""
    boards = {name.replace("-", "_"): _read(name) for name in NAMES}
    assert len(boards) == 4
    assert checking(boards) == {name: [] for name in boards}


@pytest.mark.parametrize("line", LINES[-1:])
def test_what_is_wrong_in_a_board_is_found(checking: Check) -> None:
    """Each of these in the overview's board, which is right otherwise."""
    right = _read("gluellm-overview")
    boards = {"right": right, "closed": copy.deepcopy(right)}
    _closed(boards["closed"])
    boards |= {name: _spoilt(right, *wrong) for name, wrong in WRONG.items()}
    errors = checking(boards)
    assert errors.pop("right") == errors.pop("closed") == []
    assert {name for name, said in errors.items() if not said} == set()

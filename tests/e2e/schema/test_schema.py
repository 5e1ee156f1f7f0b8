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


# One mistake of each kind: the panel's type ("" for the board), the path in it, the wrong value.
_STAT, _GRAPH = "stat", "timeseries"
_FIELD = ("fieldConfig", "defaults")
_MATCHER = {"id": "byName", "options": "x"}
_OVERRIDE = {"matcher": _MATCHER, "properties": [{"id": "units", "value": "s"}]}
WRONG: dict[str, tuple[str, tuple[str | int, ...], object]] = {
    "a_title_that_is_a_number": ("", ("title",), 3),
    "an_unknown_kind_of_variable": ("", ("templating", "list", 0, "type"), "list"),
    "an_unknown_property_of_an_annotation": ("", ("annotations", "list", 0, "colour"), "red"),
    "an_unknown_property_of_a_panel": (_STAT, ("height",), 3),
    "an_unknown_value_of_an_option": (_STAT, ("options", "textMode"), "number"),
    "an_unknown_setting_of_a_field": (_GRAPH, (*_FIELD, "units"), "s"),
    "a_custom_setting_of_the_wrong_type": (_GRAPH, (*_FIELD, "custom", "lineWidth"), "2"),
    "an_override_of_an_unknown_setting": ("table", ("fieldConfig", "overrides"), [_OVERRIDE]),
    "an_unknown_format_of_a_query": (_STAT, ("targets", 0, "format"), "heat"),
    "a_width_that_is_a_text": ("row", ("gridPos", "w"), "24"),
}


def _spoilt(board: Board, kind: str, path: tuple[str | int, ...], value: Any) -> Board:
    """A copy of the board with this mistake in it."""
    board = copy.deepcopy(board)
    holder: Any = board
    if kind:
        holder = next(panel for panel in board["panels"] if panel["type"] == kind)
    for key in path[:-1]:
        holder = holder[key]
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
def test_grafana_s_types_refuse_a_board_with_a_mistake(checking: Check) -> None:
    """Each of these in the overview's board, which is right otherwise."""
    right = _read("gluellm-overview")
    boards = {"right": right, **{name: _spoilt(right, *wrong) for name, wrong in WRONG.items()}}
    errors = checking(boards)
    assert errors.pop("right") == []
    assert {name for name, said in errors.items() if not said} == set()

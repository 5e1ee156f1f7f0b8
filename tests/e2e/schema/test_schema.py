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


def _defaults(board: Board) -> Any:
    return _panel(board, "timeseries")["fieldConfig"]["defaults"]


def _overrides(board: Board) -> Any:
    return _panel(board, "table")["fieldConfig"]["overrides"]


def _override(name: str, value: object) -> Any:
    properties = [{"id": name, "value": value}]
    return {"matcher": {"id": "byName", "options": "x"}, "properties": properties}


# What somebody may get wrong, each at another place.
WRONG: dict[str, Callable[[Board], object]] = {
    "a_title_that_is_a_number": lambda board: board.update(title=3),
    "an_unknown_property_of_a_board": lambda board: board.update(tag="gluellm"),
    "a_missing_schema_version": lambda board: board.pop("schemaVersion"),
    "an_unknown_kind_of_variable": lambda board: board["templating"]["list"][0].update(type="list"),
    "an_unknown_refresh_of_a_variable": lambda board: board["templating"]["list"][1].update(
        refresh=7
    ),
    "an_unknown_property_of_an_annotation": lambda board: board["annotations"]["list"][0].update(
        colour="red"
    ),
    "an_unknown_property_of_a_panel": lambda board: _panel(board, "stat").update(height=3),
    "an_unknown_property_of_a_panel_in_a_closed_row": lambda board: _closed(board).update(height=3),
    "an_unknown_option_of_a_panel": lambda board: _panel(board, "stat")["options"].update(mode="x"),
    "an_unknown_value_of_an_option": lambda board: _panel(board, "stat")["options"].update(
        textMode="number"
    ),
    "an_unknown_option_of_a_legend": lambda board: _panel(board, "timeseries")["options"][
        "legend"
    ].update(show=True),
    "an_unknown_setting_of_a_field": lambda board: _defaults(board).update(units="s"),
    "an_unknown_color_mode": lambda board: _defaults(board).update(color={"mode": "palette"}),
    "an_unknown_custom_setting": lambda board: _defaults(board)["custom"].update(fill=3),
    "a_custom_setting_of_the_wrong_type": lambda board: _defaults(board)["custom"].update(
        lineWidth="2"
    ),
    "an_override_of_an_unknown_setting": lambda board: _overrides(board).append(
        _override("units", "s")
    ),
    "an_override_of_an_unknown_custom_setting": lambda board: _overrides(board).append(
        _override("custom.colour", "red")
    ),
    "an_override_of_the_wrong_type": lambda board: _overrides(board).append(_override("max", "1")),
    "a_threshold_without_a_color": lambda board: _defaults(board).update(
        thresholds={"mode": "absolute", "steps": [{"value": None}]}
    ),
    "an_unknown_property_of_a_query": lambda board: _panel(board, "stat")["targets"][0].update(
        legend="x"
    ),
    "an_unknown_format_of_a_query": lambda board: _panel(board, "stat")["targets"][0].update(
        format="heat"
    ),
    "a_link_without_an_address": lambda board: _defaults(board).update(links=[{"title": "x"}]),
    "a_width_that_is_a_text": lambda board: _panel(board, "row")["gridPos"].update(w="24"),
}


@pytest.fixture(scope="module", params=LINES)
def checking(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Check:
    """``tsc`` with the types of one line."""
    packages = find("grafana-schema")
    return lambda boards: check(boards, request.param, packages, tmp_path_factory.mktemp("boards"))


def _read(name: str) -> Board:
    board: Board = json.loads((GRAFANA / f"{name}.json").read_text())
    return board


def test_grafana_s_types_accept_each_board(checking: Check) -> None:
    """Every option of every panel is one that this line has, of a type that it takes."""
    boards = {name.replace("-", "_"): _read(name) for name in NAMES}
    assert len(boards) == 4
    assert checking(boards) == {name: [] for name in boards}


def test_what_is_wrong_in_a_board_is_found(checking: Check) -> None:
    """Each of these in the overview's board, which is right otherwise."""
    right = _read("gluellm-overview")
    boards = {"right": right, "closed": copy.deepcopy(right)}
    _closed(boards["closed"])
    for name, spoil in WRONG.items():
        spoil(board := copy.deepcopy(right))
        assert board != right, name
        boards[name] = board
    errors = checking(boards)
    assert errors.pop("right") == errors.pop("closed") == []
    assert {name for name, said in errors.items() if not said} == set()

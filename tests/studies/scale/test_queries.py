"""The requests that a board makes, held against what Grafana would send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .queries import Asked, Board

END = 1_700_000_031


def _board(folder: Path, **panel: Any) -> Board:
    variables: list[dict[str, Any]] = [
        {"name": "job", "type": "query", "current": {"value": "$__all"}, "allValue": ".*"},
        {"name": "pool", "type": "query", "query": "label_values(live, pool)"},
        {"name": "interval", "type": "custom", "current": {"value": "1m"}},
    ]
    variables[0]["query"] = {"query": 'label_values(up{cluster=~"$job"}, job)', "refId": "job"}
    whole = {"title": "Some", "gridPos": {"w": 12}, **panel}
    content = {
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": variables},
        "annotations": {"list": []},
        "panels": [{"type": "row", "panels": [whole]}],
    }
    (folder / "some.json").write_text(json.dumps(content))
    return Board(folder / "some.json")


def _asked(board: Board) -> list[Asked]:
    return list(board.asked(END, board.opened(END, lambda _: "first")))


def _panel_queries(board: Board, **chosen: str) -> list[Asked]:
    values = board.opened(END, lambda _: "first") | chosen
    return [one for one in board.asked(END, values) if not one.label]


def test_a_range_query_has_the_range_and_the_min_step_of_its_board(tmp_path: Path) -> None:
    """An hour on half a board has more points than minutes, so Min step decides; rates span four
    of it."""
    target = {
        "expr": 'rate(x{job=~"$job"}[$__rate_interval])',
        "interval": "$interval",
        "range": True,
    }
    (asked,) = _panel_queries(_board(tmp_path, targets=[target]), job="shop")
    assert asked.expression == 'rate(x{job=~"shop"}[240s])'
    assert asked.path == "/api/v1/query_range"
    assert asked.parameters["step"] == "60"
    assert int(asked.parameters["end"]) == END - END % 60
    assert int(asked.parameters["end"]) - int(asked.parameters["start"]) == 3600


@pytest.mark.parametrize(("points", "step"), [(1000, 15), (200, 20), (100, 30), (10, 300)])
def test_a_step_is_as_long_as_fewer_points_ask_for(tmp_path: Path, points: int, step: int) -> None:
    """Without Min step it is the scrape interval of the data source at least; longer ones are
    rounded as Grafana does."""
    panel = {"targets": [{"expr": "x", "range": True}], "maxDataPoints": points}
    (asked,) = _panel_queries(_board(tmp_path, **panel))
    assert asked.step == step


def test_an_instant_query_is_asked_at_the_end(tmp_path: Path) -> None:
    """It has one time, and no step."""
    (asked,) = _panel_queries(_board(tmp_path, targets=[{"expr": "x", "instant": True}]))
    assert asked.path == "/api/v1/query"
    assert asked.parameters == {"query": "x", "time": str(END)}


def test_a_variable_asks_for_its_label_with_those_before_it_filled_in(tmp_path: Path) -> None:
    """`label_values()` is a request of its own."""
    asked, _ = (one for one in _asked(_board(tmp_path, targets=[])) if one.label)
    assert asked.path == "/api/v1/label/job/values"
    assert asked.parameters["match[]"] == 'up{cluster=~".*"}'


def test_a_variable_that_the_board_lacks_is_a_fault(tmp_path: Path) -> None:
    """Grafana sends it as it stands, and gets nothing; a group of `label_replace` is none."""
    lacking = {"expr": 'x{a="$nobody"}', "instant": True}
    group = {"expr": 'label_replace(x, "a", "$1", "b", "(.*)")', "instant": True}
    first, second = _panel_queries(_board(tmp_path, targets=[lacking, group]))
    assert "$nobody" in first.fault
    assert not second.fault


def test_where_the_board_has_chosen_nothing_the_first_value_is_taken(tmp_path: Path) -> None:
    """As Grafana does for a variable without All; what is chosen stays."""
    values = _board(tmp_path).opened(END, lambda asked: f"first {asked.label}")
    assert values == {"job": ".*", "pool": "first pool", "interval": "1m"}

"""What a board asks, and when a budget counts as met."""

import json
from pathlib import Path
from typing import Any

import pytest

from .evaluation import Group
from .queries import Asked, Board
from .store import Answer
from .telling import summary
from .timing import Timed, selectors, share

END = 1_700_000_031
JOB = {"query": 'label_values(up{cluster=~"$job"}, job)'}
VARIABLES = [
    {
        "name": "job",
        "type": "query",
        "query": JOB,
        "current": {"value": "$__all"},
        "allValue": ".*",
    },
    {"name": "pool", "type": "query", "query": "label_values(live, pool)"},
    {"name": "interval", "type": "custom", "current": {"value": "1m"}},
]
RATE = {"expr": 'rate(x{job=~"$job"}[$__rate_interval])', "interval": "$interval", "range": True}
START, LAST = END - END % 60 - 3600, END - END % 60
ASKED = {"query": 'rate(x{job=~".*"}[240s])', "step": "60", "start": f"{START}", "end": f"{LAST}"}


def _asked(folder: Path, target: dict[str, Any], **panel: Any) -> list[Asked]:
    """The requests of a board of one panel: of both variables, then of the panel."""
    whole = {"title": "Some", "gridPos": {"w": 12}, "targets": [target], **panel}
    content = {
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": VARIABLES},
        "panels": [{"type": "row", "panels": [whole]}],
    }
    (folder / "some.json").write_text(json.dumps(content))
    board = Board(folder / "some.json")
    values = board.opened(END, lambda asked: f"first {asked.label}")
    assert values == {"job": ".*", "pool": "first pool", "interval": "1m"}
    return list(board.asked(END, values))


@pytest.mark.parametrize(
    ("target", "path", "parameters"),
    [
        (RATE, "/api/v1/query_range", ASKED),
        ({"expr": "x", "instant": True}, "/api/v1/query", {"query": "x", "time": str(END)}),
    ],
)
def test_a_board_asks_what_grafana_would(
    tmp_path: Path, target: dict[str, Any], path: str, parameters: dict[str, str]
) -> None:
    variable, _, asked = _asked(tmp_path, target)
    assert (asked.path, asked.parameters, asked.fault) == (path, parameters, "")
    assert variable.path == "/api/v1/label/job/values"
    assert variable.parameters["match[]"] == 'up{cluster=~".*"}'


@pytest.mark.parametrize(("points", "step"), [(1000, 15), (200, 20), (100, 30), (10, 300)])
def test_a_step_is_rounded_and_at_least_the_scrape_interval(
    tmp_path: Path, points: int, step: int
) -> None:
    *_, asked = _asked(tmp_path, {"expr": "x", "range": True}, maxDataPoints=points)
    assert asked.step == step


def _timed(board: str, milliseconds: float, expression: str = "x", error: str = "") -> Timed:
    answer = Answer(milliseconds / 1000, 0.0, error)
    return Timed(Asked(board, "Some", expression, 0, 60, 60), answer, [answer], 1)


@pytest.mark.parametrize(
    ("queries", "met"),
    [
        ([("pool", 900)] * 19 + [("pool", 9000)], True),
        ([("pool", 900)] * 18 + [("pool", 1100)] * 2, False),
        ([("gluellm-fleet", 499)], True),
        ([("pool", 1)] * 99 + [("gluellm-fleet", 501)], False),
        ([("pool", 1), ("pool", 1, "x", "timed out")], False),
        ([("pool", 1), ("pool", 1, 'x{a="$b"}')], False),
    ],
)
def test_budgets_are_the_p95_of_all_and_each_of_the_fleets_and_no_error(
    queries: list[tuple[Any, ...]], met: bool
) -> None:
    assert summary([_timed(*query) for query in queries])[1] is met


@pytest.mark.parametrize(
    ("seconds", "errors", "met"), [(30, (), True), (31, (), False), (1, ("no",), False)]
)
def test_a_group_of_rules_has_half_of_its_interval(
    seconds: float, errors: tuple[str, ...], met: bool
) -> None:
    assert Group("some", 60, seconds, "rule", seconds, errors).met is met


def test_shares_and_selectors() -> None:
    assert share([float(number) for number in range(100, 0, -1)], 0.95) == 95
    found = selectors("sum(rate(x[5m])) / (sum(rate(x[5m])) > 0) or count(y offset 5m)")
    assert found == {"x", "y offset 5m"}

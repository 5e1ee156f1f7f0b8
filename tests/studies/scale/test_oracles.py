"""The queries of a board, and when a budget is met."""

from typing import Any

import pytest

from preview import asking

from .evaluation import Group
from .opening import FLEET, Opened, ask_all, missed

END = 1_700_000_031
VARIABLES = [
    {
        "name": "job",
        "type": "query",
        "query": {"query": "label_values(up, job)"},
        "current": {"value": "$__all"},
        "includeAll": True,
        "allValue": ".*",
    },
    {"name": "pool", "type": "query", "query": 'label_values(live{job=~"$job"}, pool)'},
    {"name": "interval", "type": "custom", "query": "10s,1m", "current": {"value": "1m"}},
]
RATE = {"expr": 'rate(x{job=~"$job",p="$pool"}[$__rate_interval])', "interval": "$interval"}
START, LAST = END - END % 60 - 3600, END - END % 60
ASKED = {
    "query": 'rate(x{job=~".*",p="first"}[240s])',
    "step": "60",
    "start": f"{START}.000",
    "end": f"{LAST}.000",
}


class Keeping(asking.Store):
    """Records queries. Labels have one value, queries no answer; some are refused."""

    def ask(self, path: str, **parameters: str) -> Any:
        if parameters.get("query") == "refused":
            raise asking.RefusedError("no")
        ASKED_FOR.append((path, parameters))
        return ["first"] if path.startswith("label/") else {"result": []}


ASKED_FOR: list[tuple[str, dict[str, str]]] = []


def _asked(target: dict[str, Any], **panel: Any) -> list[str]:
    """Send the queries of a board with one panel, in a row; return what was refused."""
    whole = {"title": "Some", "gridPos": {"w": 12}, "targets": [{"refId": "A", **target}], **panel}
    row = {"type": "row", "gridPos": {"w": 24}, "panels": [whole]}
    board = {"time": {"from": "now-1h"}, "templating": {"list": VARIABLES}, "panels": [row]}
    ASKED_FOR.clear()
    return ask_all(board, Keeping(""), END, {"of another board": "x"})


@pytest.mark.parametrize(
    ("target", "path", "parameters"),
    [
        (RATE, "query_range", ASKED),
        ({"expr": "x", "instant": True}, "query", {"query": "x", "time": f"{END}.000"}),
    ],
)
def test_a_board_asks_what_grafana_would(
    target: dict[str, Any], path: str, parameters: dict[str, str]
) -> None:
    assert not _asked(target)
    _, (of_pool, pool), asked = ASKED_FOR
    assert (of_pool, pool["match[]"]) == ("label/pool/values", 'live{job=~".*"}')
    assert asked == (path, parameters)


@pytest.mark.parametrize(("points", "step"), [(1000, 15), (200, 20), (100, 30), (10, 300)])
def test_a_step_is_rounded_and_at_least_the_scrape_interval(points: int, step: int) -> None:
    assert not _asked({"expr": "x"}, maxDataPoints=points)
    assert ASKED_FOR[-1][1]["step"] == str(step)


def test_a_refused_query_is_named() -> None:
    (refused,) = _asked({"expr": "refused"})
    assert refused == "Some: A: no\nrefused"


@pytest.mark.parametrize(
    ("board", "milliseconds", "met"),
    [
        ("pool", [900] * 19 + [9000], True),
        ("pool", [900] * 18 + [1100] * 2, False),
        (FLEET, [499], True),
        (FLEET, [1] * 99 + [501], False),
    ],
)
def test_budgets_apply_to_the_p95_and_to_each_query_of_the_fleets_board(
    board: str, milliseconds: list[int], met: bool
) -> None:
    times = {str(number): took / 1000 for number, took in enumerate(milliseconds)}
    assert (missed([Opened(board, times)]) == []) is met


def test_a_refused_query_meets_no_budget() -> None:
    assert missed([Opened("pool", {"x": 0.1}, 0.0, ["Some: no"])]) == ["pool: Some: no"]


@pytest.mark.parametrize(("seconds", "keeps_up"), [(30, True), (31, False)])
def test_a_group_of_rules_may_take_half_of_its_interval(seconds: float, keeps_up: bool) -> None:
    assert Group("some", 60, seconds, "rule", ()).keeps_up is keeps_up

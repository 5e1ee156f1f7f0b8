"""When a budget counts as met."""

from __future__ import annotations

import pytest

from .evaluation import Group
from .queries import Asked
from .store import Answer
from .telling import summary
from .timing import Timed, selectors, share


def _timed(board: str, milliseconds: float, *, error: str = "", expression: str = "x") -> Timed:
    answer = Answer(milliseconds / 1000, 0.0, error)
    return Timed(Asked(board, "Some", expression, 0, 60, 60), answer, [answer], 1)


@pytest.mark.parametrize(
    ("queries", "met"),
    [
        pytest.param([("pool", 900)] * 20, True, id="all within"),
        pytest.param([("pool", 900)] * 19 + [("pool", 9000)], True, id="one of twenty over"),
        pytest.param([("pool", 900)] * 18 + [("pool", 1100)] * 2, False, id="two of twenty over"),
        pytest.param([("gluellm-fleet", 499)], True, id="fleet within"),
        pytest.param(
            [("pool", 1)] * 99 + [("gluellm-fleet", 501)], False, id="one of fleet's over"
        ),
    ],
)
def test_budgets_are_the_p95_of_all_and_each_of_the_fleets(
    queries: list[tuple[str, float]], met: bool
) -> None:
    """1 s and 500 ms."""
    assert summary([_timed(board, milliseconds) for board, milliseconds in queries])[1] is met


@pytest.mark.parametrize(
    "refused", [_timed("pool", 1, error="timed out"), _timed("pool", 1, expression='x{a="$b"}')]
)
def test_a_query_that_is_refused_meets_no_budget(refused: Timed) -> None:
    """However quickly that comes, it is told with what was wrong."""
    text, met = summary([_timed("pool", 1), refused])
    assert not met
    assert f"REFUSED pool: Some: {refused.error}" in text


def test_a_share_of_times_is_one_of_them() -> None:
    """95 of a hundred are no longer than it."""
    assert share([float(number) for number in range(100, 0, -1)], 0.95) == 95
    assert share([7.0], 0.95) == 7


def test_selectors_are_found_wherever_they_stand() -> None:
    """In ranges, in both sides of an operator, and each once."""
    found = selectors("sum(rate(x[5m])) / (sum(rate(x[5m])) > 0) or count(y offset 5m)")
    assert found == {"x", "y offset 5m"}


@pytest.mark.parametrize(
    ("seconds", "errors", "met"), [(30, (), True), (31, (), False), (1, ("no",), False)]
)
def test_a_group_of_rules_has_half_of_its_interval(
    seconds: float, errors: tuple[str, ...], met: bool
) -> None:
    """The rest is for a day that is worse; an error is never in order."""
    assert Group("some", 60, seconds, "rule", seconds, errors).met is met

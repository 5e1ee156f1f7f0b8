"""When the budgets of boards count as met."""

from __future__ import annotations

from typing import Any

import pytest

from .queries import Asked
from .store import Answer
from .timing import Timed, summary


def _timed(board: str, milliseconds: float, expression: str = "x", error: str = "") -> Timed:
    answer = Answer(milliseconds / 1000, 0.0, error)
    return Timed(Asked(board, "Some", expression, 0, 60, 60), answer, [answer])


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

"""`diagnose` on real load: a few runs of each hidden cause."""

from __future__ import annotations

import itertools
import pickle

import pytest

pytest.importorskip("any_llm")
pytest.importorskip("openai")
pytest.importorskip("anthropic")
pytest.importorskip("h2")

from studies.accuracy.scoring.causes import Cause, cause_of
from studies.accuracy.scoring.drawing import draw
from studies.accuracy.scoring.matrix import Matrix
from studies.accuracy.scoring.playing import Result
from studies.accuracy.scoring.workers import score

SEED = 3
RUNS_EACH = 2
WORKERS = 7
"""More than there are processors: a run sleeps most of its time."""


def a_result(cause: Cause, verdict: str) -> Result:
    return Result(index=0, cause=cause, verdict=verdict, plan="")


@pytest.mark.slow
def test_hidden_causes_are_named() -> None:
    """Two runs of each cause, in processes of their own. One may be wrong, on a busy machine."""
    indices = [
        index
        for cause in reversed(tuple(Cause))  # the longest runs first
        for index in itertools.islice(
            (i for i in itertools.count() if cause_of(SEED, i) is cause), RUNS_EACH
        )
    ]
    results = list(score(SEED, indices, WORKERS))
    wrong = [result for result in results if not result.right]
    assert {result.cause for result in results} == set(Cause)
    assert len(wrong) <= 1, f"\n{Matrix(results)}\n" + "\n".join(
        f"{SEED}/{r.index}: hidden {r.cause}, verdict {r.verdict}\n{r.findings}" for r in wrong
    )


def test_run_is_drawn_from_seed_and_index_alone() -> None:
    """The same again for ``--replay``, another for another seed."""
    plans = [repr(draw(SEED, index)) for index in range(24)]
    assert plans == [repr(draw(SEED, index)) for index in range(24)]
    assert len({*plans, *(repr(draw(SEED + 1, index)) for index in range(24))}) == 48


def test_every_cause_is_in_each_block_of_runs() -> None:
    """And healthy ones more often."""
    causes = [cause_of(SEED, index) for index in range(12)]
    assert set(causes) == set(Cause)
    assert causes.count(Cause.HEALTHY) == 3


def test_matrix_counts_by_hidden_cause_and_verdict() -> None:
    """A row each for the causes that were hidden, and a column for each verdict."""
    results = [a_result(Cause.LEAK, Cause.LEAK)] * 2 + [a_result(Cause.LEAK, Cause.CHURN)]
    lines = str(Matrix(results)).splitlines()
    (row,) = [line for line in lines if line.startswith("leak")]
    assert row.split() == ["leak", ".", ".", ".", "2", ".", "1", ".", ".", ".", "."]
    assert lines[-1].startswith("right: 2 of 3 (66.7%, asked for is 95%); false alarms: 0 in 0")


def test_matrix_passes_with_few_misses_and_no_false_alarm() -> None:
    """5% of misses; one false alarm is too many."""
    right = [a_result(Cause.LEAK, Cause.LEAK)] * 19
    assert Matrix([*right, a_result(Cause.LEAK, Cause.HEALTHY)]).passes
    assert not Matrix([*right[1:], *[a_result(Cause.LEAK, Cause.HEALTHY)] * 2]).passes
    assert not Matrix([*right * 9, a_result(Cause.HEALTHY, Cause.LEAK)]).passes


def test_result_can_be_sent_from_a_worker() -> None:
    """It is pickled on its way."""
    result = a_result(Cause.LEAK, Cause.CHURN)
    assert pickle.loads(pickle.dumps(result)) == result

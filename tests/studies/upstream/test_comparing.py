"""Differences between two runs of a suite are worse, changed or flaky."""

import json

import pytest

from .comparing import CHANGED, FLAKY, WORSE, Difference, Run, differences, judge, read


def run(**outcomes: str) -> Run:
    return Run(outcomes=dict(outcomes), finished=True)


def test_worst_phase_of_a_test_counts_and_a_killed_run_keeps_its_outcomes() -> None:
    lines = [["a", "call", "passed", ""], ["a", "teardown", "failed", "E  KeyError: x"]]
    found = read([*map(json.dumps, lines), '["b", "ca'])
    seen = found.outcomes, found.why("a"), found.finished
    assert seen == ({"a": "failed"}, "KeyError: x", False)


@pytest.mark.parametrize(
    ("off", "on", "worse"),
    [
        ("passed", "failed", True),
        ("passed", "xpassed", True),
        ("passed", "missing", True),
        ("failed", "passed", False),
        ("passed", "skipped", False),
    ],
)
def test_a_test_that_fails_only_with_the_instrumentation_is_worse(
    off: str, on: str, worse: bool
) -> None:
    (difference,) = differences(run(a=off), run(**({} if on == "missing" else {"a": on})))
    assert (difference, difference.worse) == (Difference("a", off, on), worse)


@pytest.mark.parametrize(
    ("first", "off", "on", "kind"),
    [
        (("passed", "failed"), ["passed", "passed"], ["passed", "failed"], WORSE),
        (("passed", "failed"), ["passed"], ["passed"], FLAKY),
        (("passed", "failed"), ["failed"], ["failed"], FLAKY),
        (("failed", "passed"), ["failed"], ["passed"], CHANGED),
        (("failed", "passed"), ["failed", "passed"], ["passed"], FLAKY),
    ],
)
def test_further_runs_separate_changed_tests_from_flaky_ones(
    first: tuple[str, str], off: list[str], on: list[str], kind: str
) -> None:
    suspect = Difference("a", *first)
    judged = judge([suspect], [run(a=each) for each in off], [run(a=each) for each in on])
    assert {name: found for name, found in judged.items() if found} == {kind: [suspect]}

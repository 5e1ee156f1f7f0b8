"""What counts as worse, as changed and as flaky between two runs of a suite."""

import json

import pytest

from .comparing import Difference, Run, differences, judge, read


def run(**outcomes: str) -> Run:
    return Run(outcomes=dict(outcomes), finished=True)


def test_worst_phase_of_a_test_counts_and_a_killed_run_keeps_what_had_run() -> None:
    lines = [["a", "call", "passed", ""], ["a", "teardown", "failed", "E  KeyError: x"]]
    found = read([*map(json.dumps, lines), '["b", "ca'])
    assert (found.outcomes, found.why("a"), found.finished) == (
        {"a": "failed"},
        "KeyError: x",
        False,
    )


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
def test_a_test_that_passed_without_the_instrumentation_is_worse(
    off: str, on: str, worse: bool
) -> None:
    (difference,) = differences(run(a=off), run(**({} if on == "missing" else {"a": on})))
    assert (difference, difference.worse) == (Difference("a", off, on), worse)


@pytest.mark.parametrize(
    ("first", "off", "on", "kind"),
    [
        (("passed", "failed"), ["passed", "passed"], ["passed", "failed"], "worse"),
        (("passed", "failed"), ["passed"], ["passed"], "flaky"),
        (("passed", "failed"), ["failed"], ["failed"], "flaky"),
        (("failed", "passed"), ["failed"], ["passed"], "otherwise"),
        (("failed", "passed"), ["failed", "passed"], ["passed"], "flaky"),
    ],
)
def test_further_runs_tell_what_is_changed_from_what_is_flaky(
    first: tuple[str, str], off: list[str], on: list[str], kind: str
) -> None:
    suspect = Difference("a", *first)
    judgement = judge([suspect], [run(a=each) for each in off], [run(a=each) for each in on])
    assert {name: getattr(judgement, name) for name in ("worse", "otherwise", "flaky")} == {
        **dict.fromkeys(("worse", "otherwise", "flaky"), ()),
        kind: (suspect,),
    }

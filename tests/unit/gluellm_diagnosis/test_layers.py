"""Tool loops of GlueLLM that make more calls than before."""

from typing import Any

import pytest

from gluellm_diagnosis.findings import Fact, Finding, Kind, Severity
from opentelemetry.instrumentation.gluellm.snapshots.parts import Answer

from .building import found, kinds, of_calls, the_calls
from .test_account import CALLS, taken

GLUELLM = "calls", "gluellm", "openai"
SITE = "stock.py:7 in restock"


def minute(completes: float, each: float) -> dict[Any, dict[Any, float]]:
    """A minute in which each of these ``complete()`` made so many calls."""
    calls = round(completes * each)
    found = of_calls(calls)
    found[GLUELLM] = {**found.pop(CALLS), ("turns",): calls - completes}
    return found


def after(*minutes: dict[Any, dict[Any, float]]) -> Any:
    answers = (Answer(5.0, "gpt-4o", 0.4, 0.5, 0, call_site=SITE),) * 9
    calls = (the_calls(source="gluellm"),)
    return taken(*minutes, calls=calls, totals={"answers": answers})


def test_complete_that_makes_more_calls_than_before_is_a_warning():
    finding: Finding = found(Kind.TOOL_LOOP, after(*[minute(6, 2)] * 35, *[minute(6, 9)] * 5))
    assert (finding.severity, finding.pool) == (Severity.WARNING, None)
    assert finding.observed == (
        "On average, one complete() became 9 calls (2 before): 270 calls in place of 60."
    )
    assert finding.evidence == (Fact("The latest calls", 9, 9, "gpt-4o", SITE),)
    assert "Neither the pool nor the provider is the cause." in finding.explanation
    assert "max_tool_iterations" in finding.advice


@pytest.mark.parametrize(
    "minutes",
    [
        # More of them, and each with as many calls.
        [minute(6, 2)] * 35 + [minute(60, 2)] * 5,
        [minute(6, 2)] * 35 + [minute(6, 5)] * 5,
        # It was so from the begin, or too few are known.
        [minute(60, 9)] * 5,
        [minute(0.2, 5)] * 35 + [minute(6, 20)] * 5,
        [minute(6, 2)] * 35 + [minute(3, 20)] * 5,
    ],
    ids=["more traffic", "less than three times", "always", "few before", "few now"],
)
def test_tool_loops_as_before_are_no_finding(minutes):
    assert Kind.TOOL_LOOP not in kinds(after(*minutes))


def test_young_process_is_compared_with_the_first_third_of_its_life():
    snapshot = after(*[minute(20, 2)] * 2, *[minute(20, 9)] * 4)
    assert "(2 before)" in found(Kind.TOOL_LOOP, snapshot).observed

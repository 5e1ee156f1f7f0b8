"""Compares two runs of a suite, test by test."""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from .recording import FINISHED

_WORST_FIRST: Final = ("failed", "xpassed", "xfailed", "skipped", "passed")
"""The outcome of a test is that of its worst phase: set-up, call or tear-down."""
_MISSING: Final = "missing"
_BAD: Final = frozenset(("failed", "xpassed", _MISSING))


@dataclass(slots=True)
class Run:
    """The outcomes of one run."""

    outcomes: dict[str, str] = field(default_factory=dict)
    """By test: ``passed``, ``failed``, ``skipped``, ``xfailed``, ``xpassed``."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why a test failed, as reported by pytest."""
    finished: bool = False
    """False for a run that was killed or crashed."""

    @property
    def passed(self) -> int:
        """How many tests passed, including those that failed as expected."""
        return sum(outcome in ("passed", "xfailed") for outcome in self.outcomes.values())

    def why(self, test: str) -> str:
        """The error of a failed test in one line; empty for others."""
        lines = [line.strip() for line in self.reasons.get(test, "").splitlines() if line.strip()]
        errors = [line.removeprefix("E").strip() for line in lines if line.startswith("E ")]
        return (errors or lines[-1:] or [""])[0]


def read(lines: Iterable[str]) -> Run:
    """Read a run from the lines that ``recording`` wrote."""
    run = Run()
    for line in lines:
        try:
            test, _, outcome, reason = json.loads(line)
        except ValueError:
            continue  # the line at which a run was killed
        if test == FINISHED:
            run.finished = True
            continue
        known = run.outcomes.get(test, _WORST_FIRST[-1])
        run.outcomes[test] = min(known, outcome, key=_WORST_FIRST.index)
        if outcome == "failed":
            run.reasons.setdefault(test, reason)
    return run


@dataclass(frozen=True, slots=True)
class Difference:
    """A test whose outcome differs with the instrumentation on."""

    test: str
    off: str
    on: str

    @property
    def worse(self) -> bool:
        """Whether the test fails only with the instrumentation."""
        return self.on in _BAD and self.off not in ("failed", "xpassed")

    def __str__(self) -> str:
        return f"{self.test}: {self.off} off, {self.on} on"


def differences(off: Run, on: Run) -> list[Difference]:
    """Tests whose outcomes differ, including those that only one of the runs has."""
    tests = {**off.outcomes, **on.outcomes}
    return [
        Difference(test, off.outcomes.get(test, _MISSING), on.outcomes.get(test, _MISSING))
        for test in tests
        if off.outcomes.get(test) != on.outcomes.get(test)
    ]


WORSE, CHANGED, FLAKY = "worse", "changed, not worse", "flaky"
"""WORSE: failed again with the instrumentation on, and never without it. CHANGED: no worse, but
never the same outcome with it as without. FLAKY: all others, which differ by themselves."""


def judge(
    found: Collection[Difference], off: Collection[Run], on: Collection[Run]
) -> dict[str, list[Difference]]:
    """Use further runs to separate the instrumentation's effects from flaky tests."""
    judged: dict[str, list[Difference]] = {WORSE: [], CHANGED: [], FLAKY: []}
    for each in found:
        with_it = {run.outcomes.get(each.test, _MISSING) for run in on}
        without = {run.outcomes.get(each.test, _MISSING) for run in off}
        if each.worse:
            kind = WORSE if with_it & _BAD and not without & _BAD else FLAKY
        else:
            kind = FLAKY if with_it & without else CHANGED
        judged[kind].append(each)
    return judged

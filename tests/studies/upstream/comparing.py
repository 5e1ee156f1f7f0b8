"""What differs between two runs of a suite, test by test."""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from .recording import FINISHED

_WORST_FIRST: Final = ("failed", "xpassed", "xfailed", "skipped", "passed")
"""A test is what its worst phase is: set-up, call or tear-down."""
_MISSING: Final = "missing"
_BAD: Final = frozenset(("failed", "xpassed", _MISSING))


@dataclass(slots=True)
class Run:
    """The outcomes of one run."""

    outcomes: dict[str, str] = field(default_factory=dict)
    """By test: ``passed``, ``failed``, ``skipped``, ``xfailed``, ``xpassed``."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why a test failed, as pytest tells it."""
    finished: bool = False
    """False for a run that was ended from outside or died."""

    @property
    def passed(self) -> int:
        """How many tests passed, those included that are expected to fail and did."""
        return sum(outcome in ("passed", "xfailed") for outcome in self.outcomes.values())

    def why(self, test: str) -> str:
        """The error of a failed test in one line; empty for others."""
        lines = [line.strip() for line in self.reasons.get(test, "").splitlines() if line.strip()]
        errors = [line.removeprefix("E").strip() for line in lines if line.startswith("E ")]
        return (errors or lines[-1:] or [""])[0]


def read(lines: Iterable[str]) -> Run:
    """A run from what ``recording`` wrote of it."""
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
    """A test that ended otherwise with the instrumentation on."""

    test: str
    off: str
    on: str

    @property
    def worse(self) -> bool:
        """Whether it is for the worse."""
        return self.on in _BAD and self.off not in ("failed", "xpassed")

    def __str__(self) -> str:
        return f"{self.test}: {self.off} off, {self.on} on"


def differences(off: Run, on: Run) -> list[Difference]:
    """Every test that ended otherwise, those that only one of the runs has included."""
    tests = {**off.outcomes, **on.outcomes}
    return [
        Difference(test, off.outcomes.get(test, _MISSING), on.outcomes.get(test, _MISSING))
        for test in tests
        if off.outcomes.get(test) != on.outcomes.get(test)
    ]


WORSE, OTHERWISE, FLAKY = "worse", "otherwise, and not worse", "flaky"
"""Failed again with the instrumentation on, and never without; no worse, and never ended with it as
without; and the others: what differed once is what they do now and then."""


def judge(
    found: Collection[Difference], off: Collection[Run], on: Collection[Run]
) -> dict[str, list[Difference]]:
    """Tell what the instrumentation changed from what changes by itself, by further runs."""
    judged: dict[str, list[Difference]] = {WORSE: [], OTHERWISE: [], FLAKY: []}
    for each in found:
        with_it = {run.outcomes.get(each.test, _MISSING) for run in on}
        without = {run.outcomes.get(each.test, _MISSING) for run in off}
        if each.worse:
            kind = WORSE if with_it & _BAD and not without & _BAD else FLAKY
        else:
            kind = FLAKY if with_it & without else OTHERWISE
        judged[kind].append(each)
    return judged

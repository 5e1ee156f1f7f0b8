"""Results of mutants, and the verdict."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """Result of one mutant with the tests of one commit."""

    covering: int
    """Number of tests that cover the changed lines."""
    test: str
    """The first test that failed; empty if none did."""

    def __str__(self) -> str:
        return self.test or f"not detected by the {self.covering} tests that cover it"


def failures(results: Mapping[str, Mapping[str, Result]]) -> list[str]:
    """One line for each mutant that makes the study fail.

    With one commit, an undetected mutant; with several, one that the first commit detects and a
    later one does not.
    """
    (first, found), *later = results.items()
    if not later:
        return [f"{name}: not detected" for name, result in found.items() if not result.test]
    return [
        f"{name}: detected by {first}, not by {commit}"
        for name, result in found.items()
        for commit, others in later
        if result.test and not others[name].test
    ]

"""Results of mutants: the table and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .mutant import Mutant


@dataclass(frozen=True, slots=True)
class Result:
    """Result of one mutant with the tests of one commit."""

    covering: int
    """Number of tests that cover the changed lines."""
    test: str
    """The first test that failed; empty if none did."""

    def __str__(self) -> str:
        return self.test or f"not detected by the {self.covering} tests that cover it"


def write(
    page: Path, mutants: Sequence[Mutant], results: Mapping[str, Mapping[str, Result]]
) -> None:
    """Write the results of all mutants, by commit, as a table."""
    lines = ["# Mutants", "", "Written by `make -C tests/studies mutants`.", ""]
    for commit, found in results.items():
        detected = sum(bool(each.test) for each in found.values())
        lines.append(f"- Tests of {commit}: {detected} of {len(found)} mutants detected.")
    lines += ["", "| mutant | kind | file | " + " | ".join(results) + " |"]
    lines.append("|" + " --- |" * (3 + len(results)))
    for mutant in mutants:
        cells = [str(found[mutant.name]).replace("|", "\\|") for found in results.values()]
        lines.append(f"| {' | '.join([mutant.name, mutant.kind, mutant.file, *cells])} |")
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")


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

"""What became of the mutants, as a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .mutant import Mutant


@dataclass(frozen=True, slots=True)
class Result:
    """Of one mutant, with the tests of one commit."""

    covering: int
    """How many tests cover what it changes."""
    test: str
    """The test that failed first; empty where none did."""

    def __str__(self) -> str:
        return self.test or f"not detected by the {self.covering} tests that cover it"


def write(
    page: Path, mutants: Sequence[Mutant], results: dict[str, dict[str, Result]], *, whole: bool
) -> list[str]:
    """Write the page where all mutants were tried; the names of those that are detected no more."""
    lines = ["# Mutants", "", "Written by `make -C tests/studies mutants`.", ""]
    for commit, found in results.items():
        detected = sum(bool(each.test) for each in found.values())
        lines.append(f"- Tests of {commit}: {detected} of {len(found)} mutants detected.")
    lines += ["", "| mutant | kind | file | " + " | ".join(results) + " |"]
    lines.append("|" + " --- |" * (3 + len(results)))
    for mutant in mutants:
        cells = [str(found[mutant.name]).replace("|", "\\|") for found in results.values()]
        lines.append(f"| {' | '.join([mutant.name, mutant.kind, mutant.file, *cells])} |")
    if whole:
        page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    before, *others = results.values()
    return [
        name
        for name, result in before.items()
        if result.test and any(not each[name].test for each in others)
    ]

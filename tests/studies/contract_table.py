"""``make -C tests/studies contract-table``: runs the contract suite and prints scenario x library.

A cell says in how many runners (threads, asyncio, trio) a scenario passed. One that does not apply
has a number, and the reasons stand below the table.
"""

from __future__ import annotations

import os
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

from contract.cells import ALL_PAIRS, LIBRARIES, Cell, cells_of


class Table:
    """A pytest plug-in that remembers which scenario came out how."""

    def __init__(self) -> None:
        self.outcomes: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        """By scenario and library."""
        self.cells: dict[str, dict[str, Cell]] = {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Note a scenario, whether it runs for a library or for none."""
        if "library" in metafunc.fixturenames:
            self.cells[metafunc.function.__name__] = cells_of(metafunc)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how one came out; its set-up and its end count where they failed."""
        if report.when != "call" and report.passed:
            return
        function, _, parameters = report.nodeid.rpartition("::")[2].partition("[")
        for library in {*LIBRARIES} & {*parameters.rstrip("]").split("-")}:
            self.outcomes[function, library][report.outcome] += 1

    def lines(self) -> list[str]:
        """The table, and the reasons below it."""
        reasons: dict[str, int] = {}
        lines = []
        for function, found in sorted(self.cells.items()):
            row = f"{function.removeprefix('test_'):80}"
            for library in LIBRARIES:
                text = ", ".join(
                    f"{n} {how}" for how, n in self.outcomes[function, library].items()
                )
                if why := found[library].reason:
                    text = f"- ({reasons.setdefault(why, len(reasons) + 1)})"
                row += f"{text or 'did not run':12}"
            lines.append(row)
        header = f"{'scenario':80}" + "".join(f"{library:12}" for library in LIBRARIES)
        notes = [f"  ({number}) {reason}" for reason, number in reasons.items()]
        return [header, *lines, "", "Does not apply:", *notes]


def main(arguments: Sequence[str]) -> int:
    """Run and print. Returns pytest's exit status."""
    os.environ[ALL_PAIRS] = "1"
    table = Table()
    suite = Path(__file__).parents[1] / "contract"
    status = pytest.main([str(suite), "-q", *arguments], plugins=[table])
    print("\n".join(["", *table.lines()]))
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""``make -C tests/studies contract-table``: runs the contract suite and prints scenario x library.

A cell says in how many runners (threads, asyncio, trio) a scenario passed. One that does not apply
has a number, and the reasons stand below the table.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from .cells import LIBRARIES, cell

MODES = ("sync", "asyncio")
FOLDER = Path(__file__).parent


class Table:
    """A pytest plug-in that remembers which scenario came out how."""

    def __init__(self) -> None:
        self.modes: dict[tuple[str, str], tuple[str, ...]] = {}
        """The scenarios that are told by library, each with the runners that it is for."""
        self.outcomes: dict[tuple[str, str, str], Counter[str]] = {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Note a scenario, whether it runs for a library or for none."""
        if "library" not in metafunc.fixturenames:
            return
        marker = metafunc.definition.get_closest_marker("modes")
        file = Path(str(metafunc.definition.path)).name
        self.modes[file, metafunc.function.__name__] = tuple(marker.args if marker else MODES)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how one came out; its set-up and its end count where they failed."""
        if report.when != "call" and report.passed:
            return
        path, _, test = report.nodeid.partition("::")
        function, _, parameters = test.partition("[")
        names = set(parameters.rstrip("]").split("-"))
        for library in LIBRARIES:
            if library in names:
                key = (Path(path).name, function, library)
                self.outcomes.setdefault(key, Counter())[report.outcome] += 1

    def lines(self) -> list[str]:
        """The table, and the reasons below it."""
        reasons: dict[str, int] = {}
        rows = [["scenario", *LIBRARIES]]
        for (file, function), modes in sorted(self.modes.items()):
            row = [f"{file.removesuffix('.py')}: {function.removeprefix('test_')}"]
            for library in LIBRARIES:
                reason = cell(file, function, library, modes).reason
                if reason:
                    row.append(f"- ({reasons.setdefault(reason, len(reasons) + 1)})")
                else:
                    counts = self.outcomes.get((file, function, library), Counter())
                    told = [f"{count} {outcome}" for outcome, count in sorted(counts.items())]
                    row.append(", ".join(told) or "did not run")
            rows.append(row)
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
            for row in rows
        ]
        lines.insert(1, "-" * len(lines[0]))
        lines = [line.rstrip() for line in lines]
        lines += ["", "Does not apply:"]
        lines += [f"  ({number}) {reason}" for reason, number in reasons.items()]
        return lines


def main(arguments: Sequence[str]) -> int:
    """Run and print. Returns pytest's exit status."""
    table = Table()
    status = pytest.main([str(FOLDER), "-q", "--no-header", *arguments], plugins=[table])
    print("\n".join(["", *table.lines()]))
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

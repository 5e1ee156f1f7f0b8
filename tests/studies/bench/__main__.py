"""``make bench``: the table of budgets with the measured values."""

import sys
import time
from collections.abc import Sequence

from studies.figures import Parser

from . import counting
from .rows import GROUPS, Row, blocks
from .workload import FAMILIES

_VERDICTS = {True: "met", False: "NOT MET", None: "-"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Return 1 if ``--check`` is given and instructions are over budget."""
    parser = Parser("bench", __doc__)
    again = "; can be given several times"
    parser.add_argument("--only", action="append", choices=GROUPS, help=f"these rows only{again}")
    libraries = f"these libraries only (httpx includes httpx2){again}"
    parser.add_argument("--library", action="append", choices=[*FAMILIES], help=libraries)
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 for a missed budget of instructions"
    )
    options = parser.parse_args(arguments)
    began = time.monotonic()
    measured: list[Row] = []
    for title, rows in blocks(options.only or (), options.library or ()):
        print(f"\n{title}")
        for row in rows:
            print(f"  {row.what}: {row.measured} (budget {row.budget}) {_VERDICTS[row.met]}")
            if row.detail:
                print(f"    {row.detail}")
        sys.stdout.flush()
        measured += rows
    print(
        "\nYardstick: what the contrib instrumentation of the same library adds to the same"
        f" request, which has a current span.\nMeasured in {time.monotonic() - began:.0f} s."
    )
    # Where valgrind is installed, a failed count is a miss.
    passing = (True,) if counting.available() else (True, None)
    missed = [row for row in measured if row.gates and row.met not in passing]
    return int(options.check and bool(missed))


if __name__ == "__main__":
    sys.exit(main())

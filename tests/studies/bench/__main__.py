"""``make bench``: the table of budgets with what was measured."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence

from . import counting, sources
from .budget import Row
from .rows import GROUPS, Block, blocks
from .workload import FAMILIES

_VERDICTS = {True: "met", False: "NOT MET", None: "-"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. 0, or with ``--check`` 1 where a ratio of instructions is over budget."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=GROUPS,
        help="measure these rows only; can be given several times",
    )
    parser.add_argument(
        "--library",
        action="append",
        choices=tuple(FAMILIES),
        help="measure these libraries only (httpx: httpx2 too); can be given several times",
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="also tell which seam costs how many instructions",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="exit with 1 when a budget of instructions is missed (needs valgrind)",
    )
    options = parser.parse_args(arguments)
    began = time.monotonic()
    measured: list[Row] = []
    for block in blocks(options.only or (), options.library or ()):
        _print_block(block)
        measured += block.rows
    if options.profile:
        _print_profile(options.library or FAMILIES)
    print(
        "\nYardstick: what the contrib instrumentation of the same library adds to the same"
        f" request, which has a current span.\nMeasured in {time.monotonic() - began:.0f} s."
    )
    # Where valgrind is there, a count that failed is no pass.
    passing = (True,) if counting.available() else (True, None)
    missed = [row for row in measured if row.gates and row.met not in passing]
    return int(options.check and bool(missed))


def _print_block(block: Block) -> None:
    print(f"\n{block.title}\n")
    lines = [("what", "budget", "measured", "")]
    lines += [(row.what, row.budget, row.measured, _VERDICTS[row.met]) for row in block.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    for number, (what, budget, value, verdict) in enumerate(lines):
        print(
            f"{what:<{widths[0]}}  {budget:>{widths[1]}}  {value:>{widths[2]}}  {verdict}".rstrip()
        )
        if not number:
            print("-" * (sum(widths) + 4 + 9), flush=True)
    if any(row.detail for row in block.rows):
        print("\nThe worst is what counts. Each:")
    for row in block.rows:
        if row.detail:
            print(f"  {row.what}: {row.detail}")


def _print_profile(libraries: Iterable[str]) -> None:
    # Of httpx and httpx2 the async clients: sync ones have the same steps.
    for combination in [each for family in libraries for each in FAMILIES[family][:2]]:
        print(f"\nInstructions of the request path, {combination}, by what costs them:")
        try:
            for part, count in sources.profile(combination).items():
                print(f"  {count:9.0f}  {part}")
        except sources.UnavailableError as reason:
            print(f"  not measured: {reason}")


if __name__ == "__main__":
    sys.exit(main())

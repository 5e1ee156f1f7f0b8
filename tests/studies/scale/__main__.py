"""The time of every query of every board, over many instances.

Real series, many times over, in a real store: it is built anew each time, which takes most of it.
No query looks back for more than three hours.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from .building import BUDGET, OURS, Built, built
from .queries import boards
from .store import BlockStore
from .timing import VERDICTS, of_queries, summary, timed

_ROOT = Path(__file__).parents[3]
_REPEATS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """0, with ``--check`` 1 where a budget is missed, 2 without the programs."""
    parser = argparse.ArgumentParser(prog="make -C tests/studies boards-scale", description=__doc__)
    parser.add_argument("--instances", type=int, default=1000, help="default: 1000")
    parser.add_argument("--hours", type=float, default=3, help="of samples; default: 3")
    parser.add_argument("--check", action="store_true", help="exit with 1 for a missed budget")
    options = parser.parse_args(arguments)
    instances = options.instances
    print(f"{instances} instances; {os.cpu_count()} CPUs; {time.strftime('%Y-%m-%d')}")
    # Not in memory, as /tmp may be.
    (cache := _ROOT / ".cache").mkdir(exist_ok=True)
    with TemporaryDirectory(dir=cache) as name:
        try:
            there = built(instances, round(options.hours * 60), Path(name))
        except pytest.skip.Exception as missing:
            print(missing)
            return 2
        met = _measure(instances, there, Path(name))
    return int(options.check and not met)


def _measure(instances: int, there: Built, folder: Path) -> bool:
    with (store := BlockStore(folder / "asked", there.data)):
        (row,) = store.query(f"count({OURS})", there.end)
        asked = [
            one
            for board in boards()
            for one in board.asked(there.end, board.opened(there.end, store.first))
        ]
    _print_series(there, instances, int(row["value"][1]))
    queries = timed(store, asked, _REPEATS)
    text, met = summary(queries)
    print(f"{of_queries(queries)}\n{text}\n")
    return met


def _print_series(there: Built, instances: int, stored: int) -> None:
    """Series of one program beside the budget, and how many the store has."""
    providers = {name: count for name, count in sorted(there.series.items()) if name}
    worst, each = max(providers.values()), sum(there.series.values())
    each_of = ", ".join(f"{count} {name}" for name, count in providers.items())
    print(
        f"Series of one program, of real calls: {each_of}; {there.series['']} of the process.\n"
        f"The most of a provider: {worst} of {BUDGET}: {VERDICTS[worst <= BUDGET]}.\n"
        f"A program: {each}; {instances} of them: {each * instances}. "
        f"Prometheus has {stored} at the end.\n",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())

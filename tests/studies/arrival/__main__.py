"""The table metric x way, with counted = stored for every cell."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from gluellm_pools.prometheus import Way, metric_name

from .comparing import METRICS, Cell
from .run import PROTOCOLS, Run, run


def main() -> int:
    """0 when every cell is right, 1 when not, 2 when a program is missing."""
    argparse.ArgumentParser(prog="make -C tests/studies arrival", description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            with run(Path(folder)) as finished:
                return _print(finished)
        except (pytest.skip.Exception, pytest.fail.Exception) as missing:
            print(missing, file=sys.stderr)
            return 2


def _print(finished: Run) -> int:
    print(f"Two programs, one per protocol ({', '.join(PROTOCOLS)}), with requests held in every")
    print("phase and again when all was over. A cell: series of both programs at both moments.\n")
    print("| metric | name | " + " | ".join(Way) + " |")
    print("|---|---|" + "---|" * len(Way))
    sums: Counter[str] = Counter()
    for name, metric in METRICS.items():
        cells = [_cell(finished, name, way) for way in Way]
        print(f"| `{name}` | `{metric_name(metric)}` | " + " | ".join(map(str, cells)) + " |")
        for cell in cells:
            right = not cell.wrong and cell.equal + cell.between > 0
            sums.update(right=right, wrong=not right, series=cell.equal + cell.between)
    print(f"\n{sums['right']} cells right, {sums['wrong']} not; {sums['series']} values compared.")
    return 1 if sums["wrong"] else 0


def _cell(finished: Run, name: str, way: Way) -> Cell:
    both = Cell()
    for table in finished.tables:
        both.add(table[way][name])
    return both


if __name__ == "__main__":
    sys.exit(main())

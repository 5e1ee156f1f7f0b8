"""Times every query of every board, and all rules, over many instances.

It takes half an hour; fewer instances and hours take less.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest

from studies.figures import Figures, Parser

from .building import RULES, Built, built
from .evaluation import evaluated
from .opening import missed, opened, p95, slowest_first
from .store import BlockStore
from .template import OURS

_ROOT: Final = Path(__file__).parents[3]
_EVALUATING: Final = 300
"""Seconds that all evaluations take at most; they have to end before the newest sample."""
_ONE_POOL: Final = {"job": "All", "provider": "openai", "pool": "openai"}
_WAYS: Final = {
    "as they open": ("gluellm-*.json", {}),
    "for one pool of all services": ("gluellm-p*.json", _ONE_POOL),
}
"""Boards, and the values chosen on them. Most open with one service, and the fleet's with all."""
_SHOWN: Final = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if all budgets are met, 1 if not, 2 if a program is missing."""
    parser = Parser("boards-scale", __doc__)
    parser.add_argument("--instances", type=int, default=1000, help="default: 1000")
    hours = "of raw samples, one a minute; the rest of the day has recorded series only; default: 3"
    parser.add_argument("--dense-hours", type=float, default=3, help=hours)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything is removed
    figures = Figures(
        f"Boards and rules over {options.instances} instances",
        {"hours of raw samples": options.dense_hours, "CPUs": os.cpu_count() or 0},
    )
    cache = _ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=cache, prefix="scale-") as name:
        folder = Path(name)
        try:
            there = built(folder / "data", options.instances, round(options.dense_hours * 60))
        except pytest.skip.Exception as missing:
            print(missing)
            return 2
        _evaluate(there, folder / "evaluating", figures)
        with BlockStore(folder / "asked", there.data) as store:
            _open(there, store, figures)
    return figures.finish()


def _evaluate(there: Built, folder: Path, figures: Figures) -> None:
    if time.time() > there.end - _EVALUATING:
        figures.broken.append("the store ended before rules could be evaluated over current data")
        return
    for group in evaluated(BlockStore(folder, there.data), RULES):
        took = f"{group.seconds:.2f} s every {group.interval:.0f} s; slowest {group.slowest}"
        figures.values[f"rules of {group.name}"] = took
        figures.broken += [f"{group.name}: {error}" for error in group.errors]
        if not group.keeps_up:
            figures.broken.append(f"{group.name} takes over half of its interval: {took}")


def _open(there: Built, store: BlockStore, figures: Figures) -> None:
    """Check the budgets of each way: fast queries of one don't make up for another's."""
    (row,) = store.query(f"count({OURS})", there.end)
    figures.values |= {"series of one program": there.series, "series": int(row["value"][1])}
    for way, (pattern, given) in _WAYS.items():
        files = sorted((_ROOT / "dashboards/grafana").glob(pattern))
        boards = [opened(file, store, there.end, given) for file in files]
        queries = slowest_first(boards)
        found: dict[str, float] = {
            "queries": len(queries),
            "seconds of 95 % of them, at most": p95(boards),
            **{f"CPU seconds to open {one.board}": one.processor for one in boards},
            **{f"seconds of {what}": took for took, what in queries[:_SHOWN]},
        }
        figures.values |= {f"{way}: {what}": value for what, value in found.items()}
        figures.broken += [f"{way}: {what}" for what in missed(boards)]


if __name__ == "__main__":
    sys.exit(main())

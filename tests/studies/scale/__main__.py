"""``make boards-scale``: the time of every query of every board, over many instances.

The store of a size is built once and kept in ``.cache/scale``; ``--clean`` removes all of them.
"""

import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from studies.figures import Parser

from . import telling
from .building import CACHE, RULES, Built, Size, built
from .evaluation import evaluated
from .queries import Board, boards
from .store import BlockStore
from .template import OURS
from .timing import Timed, timed

_CHOSEN: dict[str, str] = {"provider": "openai", "pool": "openai"}
"""What somebody has chosen who looks into one pool."""
_REPEATS = 3
_EVALUATING = 300
"""Seconds that evaluations need at most, all of them before the newest sample."""
_NARROWED = ("gluellm-pool", "gluellm-provider")
"""Boards that are opened for one pool or provider."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or with ``--check`` 1 where a budget is missed."""
    parser = Parser("boards-scale", __doc__)
    parser.add_argument("--instances", type=int, default=Size().instances, help="default: 1000")
    parser.add_argument("--hours", type=float, default=24, help="of data; default: 24")
    parser.add_argument(
        "--dense-hours",
        type=float,
        default=3,
        help="of raw samples at the end, each minute; before, recorded series only; default: 3",
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 for a missed budget")
    parser.add_argument("--clean", action="store_true", help="remove all stores, and end")
    options = parser.parse_args(arguments)
    if options.clean:
        shutil.rmtree(CACHE, ignore_errors=True)
        return 0
    size = Size(options.instances, round(options.dense_hours * 60), round(options.hours * 60))
    print(f"{size.instances} instances; {os.cpu_count()} CPUs; {time.strftime('%Y-%m-%d')}")
    try:
        there = built(size)
    except pytest.skip.Exception as missing:
        print(missing)
        return 2
    with TemporaryDirectory(dir=CACHE) as name:
        folder = Path(name)
        _print_store(size, there, folder)
        late = time.time() > there.end - _EVALUATING
        groups = None if late else evaluated(there.data, folder, RULES)
        if groups is None:
            print("The store ended before now, so rules find nothing in it: begin with --clean.")
        else:
            print(telling.of_rules(groups), "\n", flush=True)
        queries = _queries(there, folder, boards())
    met = _print_queries(queries) and groups is not None and all(group.met for group in groups)
    return int(options.check and not met)


def _queries(there: Built, folder: Path, every: Sequence[Board]) -> dict[str, list[Timed]]:
    """By what is chosen on the boards."""
    with (store := BlockStore(folder / "asked", there.data)):
        opened = {board: board.opened(there.end, store.first) for board in every}
    narrowed = [board for board in every if board.name in _NARROWED]
    return {
        which: timed(
            store,
            [one for board in some for one in board.asked(there.end, opened[board] | values)],
            _REPEATS,
        )
        for which, some, values in (
            ("as they open", every, {}),
            ("for one pool", narrowed, _CHOSEN),
        )
    }


def _print_store(size: Size, there: Built, folder: Path) -> None:
    hours = size.dense_minutes / 60
    print(f"{size.minutes / 60:g} h of recorded series; {hours:g} h of raw ones, each minute.")
    with BlockStore(folder / "counted", there.data) as store:
        (row,) = store.query(f"count({OURS})", there.end)
    print(telling.of_series(there, size.instances, int(row["value"][1])), "\n", flush=True)


def _print_queries(queries: Mapping[str, list[Timed]]) -> bool:
    """Each set has to meet the budgets: cheap queries of one don't make up for another's."""
    verdicts = []
    for which, of_which in queries.items():
        text, met = telling.summary(of_which)
        verdicts.append(met)
        print(f"Boards {which}\n\n{telling.of_queries(of_which)}\n")
        print(f"{telling.of_boards(of_which)}\n{text}\n")
    return all(verdicts)


if __name__ == "__main__":
    sys.exit(main())

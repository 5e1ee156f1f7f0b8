"""``make churn``: 100 000 pools made, used once and dropped; what stays must not grow."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from support.figures import Figures

from .pools import KINDS
from .run import ROUND, Round, churn, course

_SETTLED = 20_000
_LEAST = _SETTLED + 10 * ROUND
_MOST_BLOCKS_PER_POOL = 0.02
_MOST_RESIDENT = 8e6
_MOST_TIMES = 1.5
_ALIVE = 100
"""Pools that may be there after a garbage collection: of the round's last, an event loop may yet
have something to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when everything held, 1 when not, 2 on bad arguments."""
    parser = argparse.ArgumentParser(prog="churn", description=__doc__)
    parser.add_argument("--pools", type=int, default=100_000, help=f"at least {_LEAST}")
    parser.add_argument("--figures", type=Path, help="write the figures into this file, as JSON")
    options = parser.parse_args(arguments)
    if options.pools < _LEAST:
        parser.error(f"--pools must be at least {_LEAST}")
    rounds = churn(options.pools, told=_show)
    figures = Figures("Churn: pools made, used once and dropped")
    judge(figures, rounds)
    return figures.finish(options.figures)


def _show(one: Round) -> None:
    if one.pools % (5 * ROUND) == 0:
        print(
            f"{one.pools:>7} pools: {one.blocks} blocks, {one.resident / 1e6:.1f} MB, collection "
            f"{one.collection:.2f} ms, gc {one.garbage:.0f} ms, {one.series} series, "
            f"{one.trackers} alive",
            flush=True,
        )


def judge(figures: Figures, rounds: Sequence[Round], settled: int = _SETTLED) -> None:
    """Tell the course from ``settled`` pools on, and what of it is not flat."""
    warm = [each for each in rounds if each.pools >= settled]
    further = warm[-1].pools - warm[0].pools
    blocks = (warm[-1].blocks - warm[0].blocks) / further
    grown = warm[-1].resident - warm[0].resident
    figures.values |= {
        "pools": rounds[-1].pools,
        "kinds of pool": len(KINDS),
        "blocks left per pool": round(blocks, 4),
        "resident MB grown": round(grown / 1e6, 2),
        "most pools alive after a garbage collection": max(each.trackers for each in warm),
    }
    for name, unit in (
        ("blocks", "blocks"),
        ("resident", "bytes"),
        ("collection", "ms of a collection"),
        ("garbage", "ms of a garbage collection"),
        ("series", "series"),
    ):
        found = course(warm, name)
        figures.values[f"{unit}: first, last, per 1000 pools"] = (
            f"{found.first:.6g}, {found.last:.6g}, {found.slope:+.3g}"
        )
    if blocks > _MOST_BLOCKS_PER_POOL:
        figures.broken.append(f"{blocks:.4f} blocks stay of each pool: {_MOST_BLOCKS_PER_POOL}")
    if grown > _MOST_RESIDENT:
        figures.broken.append(f"resident memory grew by {grown / 1e6:.1f} MB")
    for name in ("collection", "garbage"):
        found = course(warm, name)
        if found.last > found.first * _MOST_TIMES + 1:
            figures.broken.append(
                f"the time of a {name} grew from {found.first:.2f} to {found.last:.2f} ms"
            )
    if len({each.series for each in warm}) > 1:
        figures.broken.append(f"series change: {sorted({each.series for each in warm})}")
    alive = max(each.trackers for each in warm)
    if alive > _ALIVE:
        figures.broken.append(f"{alive} pools are still known after a garbage collection")


if __name__ == "__main__":
    sys.exit(main())

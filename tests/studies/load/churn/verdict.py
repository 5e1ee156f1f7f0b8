"""Whether what stays of pools is flat."""

from __future__ import annotations

from collections.abc import Sequence

from support.figures import Figures

from .pools import KINDS
from .run import Round, course

SETTLED = 20_000
"""Pools after which everything has been there once."""
_MOST_BLOCKS_PER_POOL = 0.02
_NOISE = 1_500
"""Blocks by which two looks at the same differ: a set of the interpreter's has grown meanwhile, and
each look keeps ten of its own. A pool that stays has more than one."""
_MOST_RESIDENT = 8e6
_MOST_TIMES = 1.5
_ALIVE = 100
"""Pools that may be there after a garbage collection: of the round's last, an event loop may yet
have something to do."""


def judge(figures: Figures, rounds: Sequence[Round], settled: int = SETTLED) -> None:
    """Tell the course from ``settled`` pools on, and what of it is not flat."""
    warm = [each for each in rounds if each.pools >= settled]
    further = warm[-1].pools - warm[0].pools
    blocks = course(warm, "blocks")
    left = (blocks.last - blocks.first) / further
    grown = warm[-1].resident - warm[0].resident
    figures.values |= {
        "pools": rounds[-1].pools,
        "kinds of pool": len(KINDS),
        "blocks left per pool": round(left, 4),
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
    if left * further > _MOST_BLOCKS_PER_POOL * further + _NOISE:
        figures.broken.append(f"{left:.4f} blocks stay of each pool: {_MOST_BLOCKS_PER_POOL}")
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

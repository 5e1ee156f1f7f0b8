"""``make churn``: 100 000 pools made, used once and dropped; what stays must not grow."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from support.figures import Figures

from .run import ROUND, Round, churn
from .verdict import SETTLED, judge

_LEAST = SETTLED + 10 * ROUND


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


if __name__ == "__main__":
    sys.exit(main())

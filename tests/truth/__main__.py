"""``python -m truth``: what is told of pools, beside sockets, servers and clients, under load."""

from __future__ import annotations

import argparse
import logging
import random
import sys
import traceback
from pathlib import Path

from support.figures import Figures

from .measures import Measures, MismatchError
from .run import MODES, run


def main(arguments: list[str]) -> int:
    """Run what was asked for. Returns 0 when all held, 1 when not."""
    parser = argparse.ArgumentParser(prog="truth", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="of all runs together")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--library", nargs="+", choices=list(MODES), default=list(MODES))
    parser.add_argument(
        "--mode",
        nargs="+",
        choices=("sync", "asyncio", "trio"),
        default=["sync", "asyncio", "trio"],
    )
    parser.add_argument("--figures", type=Path, metavar="FILE")
    chosen = parser.parse_args(arguments)
    seed = random.randrange(10**6) if chosen.seed is None else chosen.seed
    pairs = [(name, mode) for name in chosen.library for mode in MODES[name] if mode in chosen.mode]
    if not pairs:
        parser.error("no library of these has such a mode")
    # Sessions that are dropped on purpose say so when they go.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    print(f"seed {seed}")
    measures = Measures()
    figures = Figures("what is told, beside the truth")
    for library, mode in pairs:
        print(f"{library} {mode}", flush=True)
        try:
            run(library, mode, seed=seed, measures=measures, seconds=chosen.seconds / len(pairs))
        except MismatchError as error:
            figures.broken.append(str(error))
        except Exception:
            figures.broken.append(f"{library} {mode}, seed {seed}: {traceback.format_exc()}")
    figures.values = {"seed": seed, **measures.as_figures()}
    return figures.finish(chosen.figures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

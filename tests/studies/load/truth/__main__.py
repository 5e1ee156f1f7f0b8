"""Metrics beside sockets, servers and clients, under load."""

from __future__ import annotations

import argparse
import logging
import random
import sys
import traceback
from pathlib import Path

from support.figures import Figures

from . import saturation
from .measures import Measures, MismatchError
from .run import MODES, run

CROWD = 5


def main(arguments: list[str]) -> int:
    """Run what was asked for. Returns 0 when all held, 1 when not."""
    parser = argparse.ArgumentParser(prog="truth", description=__doc__)
    parser.add_argument("--seconds", type=float, help="of all runs together (120)")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--library", nargs="+", choices=list(MODES), default=list(MODES))
    parser.add_argument(
        "--mode",
        nargs="+",
        choices=("sync", "asyncio", "trio"),
        default=["sync", "asyncio", "trio"],
    )
    parser.add_argument("--figures", type=Path, metavar="FILE")
    parser.add_argument(
        "--crowded", action="store_true", help=f"{CROWD} times as many requests share the pools"
    )
    parser.add_argument(
        "--saturation",
        action="store_true",
        help="instead: read full pools at random moments, for --seconds (15) of each load",
    )
    parser.add_argument("--way", nargs="+", help="with --saturation: how servers are reached")
    chosen = parser.parse_args(arguments)
    seed = random.randrange(10**6) if chosen.seed is None else chosen.seed
    pairs = [(name, mode) for name in chosen.library for mode in MODES[name] if mode in chosen.mode]
    if not pairs:
        parser.error("no library of these has such a mode")
    # Sessions that are dropped on purpose say so when they go.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    print(f"seed {seed}")
    if chosen.saturation:
        return _saturation(pairs, seed, chosen.seconds or 15.0, chosen.way, chosen.figures)
    seconds = (chosen.seconds or 120.0) / len(pairs)
    crowd = CROWD if chosen.crowded else 1
    measures = Measures()
    figures = Figures("what is told, beside the truth")
    for library, mode in pairs:
        print(f"{library} {mode}", flush=True)
        try:
            run(library, mode, seed=seed, measures=measures, seconds=seconds, crowd=crowd)
        except MismatchError as error:
            figures.broken.append(str(error))
        except Exception:
            figures.broken.append(f"{library} {mode}, seed {seed}: {traceback.format_exc()}")
    figures.values = {"seed": seed, **measures.as_figures()}
    return figures.finish(chosen.figures)


def _saturation(
    pairs: list[tuple[str, str]],
    seed: int,
    seconds: float,
    ways: list[str] | None,
    file: Path | None,
) -> int:
    figures = Figures("readings of full pools, beside the test's own count", {"seed": seed})
    wrong = readings = 0
    print(saturation.HEADER, flush=True)
    for library, mode in pairs:
        for way in saturation.WAYS[library]:
            for workers, places in saturation.LOADS if ways is None or way in ways else ():
                found = saturation.study(
                    library, mode, way, workers, places, seconds=seconds, seed=seed
                )
                print(found.row(), flush=True)
                for reading in found.too_many_hold() + found.nobody_waits():
                    print(f"  wrong: {dict(reading.phases)}, {reading.open} open", flush=True)
                wrong += found.wrong
                readings += len(found.readings)
                figures.broken += [f"{found.name}: {what}" for what in found.failures]
    figures.values |= {"readings": readings, "wrong readings": wrong}
    if wrong:
        figures.broken.append(f"{wrong} of {readings} readings are wrong")
    return figures.finish(file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Metrics beside the kernel's sockets, the servers' schedule and the clients, under load."""

from __future__ import annotations

import argparse
import logging
import sys
import traceback

from studies.load.command import Command
from support.figures import Figures

from . import saturation
from .measures import Measures, MismatchError
from .run import MODES, run

CROWD = 5


def main(arguments: list[str] | None = None) -> int:
    """Return 0 when all held, 1 when not."""
    parser = Command("truth", __doc__, seconds=120, most=86_400)
    parser.add_argument("--library", nargs="+", choices=list(MODES), default=list(MODES))
    modes = "sync", "asyncio", "trio"
    parser.add_argument("--mode", nargs="+", choices=modes, default=modes)
    late = "how many times as late as on an idle machine threads may be"
    parser.add_argument("--slack", type=float, default=1.0, help=late)
    parser.add_argument(
        "--crowded", action="store_true", help=f"{CROWD} times as many requests share the pools"
    )
    parser.add_argument(
        "--saturation",
        action="store_true",
        help="instead: read full pools at random moments, for --seconds (15) of each load",
    )
    parser.add_argument("--way", nargs="+", help="with --saturation: how servers are reached")
    options = parser.parse(arguments)
    options.pairs = [
        (name, mode) for name in options.library for mode in MODES[name] if mode in options.mode
    ]
    if not options.pairs:
        parser.error("no library of these has such a mode")
    # Sessions that are dropped on purpose are reported when they go.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    figures = Figures("What is reported, beside the truth", {"seed": options.seed})
    (_saturated if options.saturation else _compared)(options, figures)
    return figures.finish(options.figures)


def _compared(options: argparse.Namespace, figures: Figures) -> None:
    measures = Measures()
    for library, mode in options.pairs:
        print(f"{library} {mode}", flush=True)
        try:
            crowd = CROWD if options.crowded else 1
            settings = {"seed": options.seed, "slack": options.slack, "crowd": crowd}
            run(library, mode, options.seconds / len(options.pairs), measures, **settings)
        except Exception as error:
            what = str(error) if isinstance(error, MismatchError) else traceback.format_exc()
            figures.broken.append(f"{library} {mode}, seed {options.seed}: {what}")
    figures.values |= measures.as_figures()


def _saturated(options: argparse.Namespace, figures: Figures) -> None:
    wrong = readings = 0
    loads = [
        (library, mode, way, *load)
        for library, mode in options.pairs
        for way in saturation.WAYS[library]
        if options.way is None or way in options.way
        for load in saturation.LOADS
    ]
    for load in loads:
        seconds = 15.0 if options.is_default else options.seconds
        found = saturation.study(*load, seconds=seconds, seed=options.seed)
        print(found.row(), flush=True)
        for reading in found.too_many_hold() + found.nobody_waits():
            print(f"  wrong: {dict(reading.phases)}, {reading.open} open", flush=True)
        wrong += found.wrong
        readings += len(found.readings)
        figures.broken += [f"{found.name}: {what}" for what in found.failures]
    figures.values |= {"readings": readings, "wrong readings": wrong}
    if wrong:
        figures.broken.append(f"{wrong} of {readings} readings are wrong")


if __name__ == "__main__":
    sys.exit(main())

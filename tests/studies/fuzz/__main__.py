"""``python -m studies.fuzz``: bad input for a while, and how it was borne."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from pathlib import Path

from support.figures import Figures
from support.interrupts import heed_interrupts

from .target import Target
from .targets import TARGETS

_LONGEST = 86_400.0


def main(arguments: list[str] | None = None) -> int:
    """Run; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m studies.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=_seconds, default=60.0, help="for all targets together")
    parser.add_argument("--seed", type=int, help="of the first inputs (default: another each time)")
    parser.add_argument("--target", choices=[kind.__name__.lower() for kind in TARGETS])
    parser.add_argument("--figures", type=Path, metavar="FILE", help="keep the figures as JSON")
    options = parser.parse_args(arguments)
    heed_interrupts()
    first_seed = secrets.randbelow(10**9) if options.seed is None else options.seed
    chosen = [kind for kind in TARGETS if options.target in (None, kind.__name__.lower())]
    whole = sum(kind.share for kind in chosen)
    figures = Figures(f"Bad input for {options.seconds:g} s")
    figures.values["seed"] = first_seed
    began = time.monotonic()
    for kind in chosen:
        with kind() as target:
            target.run(first_seed, options.seconds * kind.share / whole)
        _tell(figures, target)
    figures.values["seconds"] = time.monotonic() - began
    return figures.finish(options.figures)


def _tell(figures: Figures, target: Target) -> None:
    tally, name = target.tally, target.name
    figures.values[f"{name}: inputs"] = tally.inputs
    for outcome, number in sorted(tally.outcomes.items()):
        figures.values[f"{name}: {outcome}"] = number
    figures.values[f"{name}: failures"] = len(tally.failures)
    figures.values[f"{name}: slowest, ms"] = tally.slowest * 1000
    figures.values |= {f"{name}: {what}": value for what, value in target.figures().items()}
    figures.broken += tally.failures
    if not tally.inputs:
        figures.broken.append(f"{name}: no input was given")


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= _LONGEST:
        raise argparse.ArgumentTypeError(f"found {text!r}, allowed is up to {_LONGEST:g}")
    return value


if __name__ == "__main__":
    sys.exit(main())

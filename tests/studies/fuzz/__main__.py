"""``python -m studies.fuzz``: bad input for a while, and how it was borne."""

from __future__ import annotations

import os
import sys
import time

from studies.figures import Figures
from studies.load.command import Command

from .answers import Answers
from .recorded import exports
from .shown import Shown
from .stores import Stores
from .target import Target
from .wire import Wire

TARGETS: tuple[type[Target], ...] = (Wire, Shown, Stores, Answers)


def main(arguments: list[str] | None = None) -> int:
    """Run; the exit status."""
    parser = Command("fuzz", __doc__, seconds=60, most=86_400)
    parser.add_argument("--target", choices=[kind.__name__.lower() for kind in TARGETS])
    options = parser.parse(arguments)
    chosen = [kind for kind in TARGETS if options.target in (None, kind.__name__.lower())]
    whole = sum(kind.share for kind in chosen)
    figures = Figures(f"Bad input for {options.seconds:g} s")
    figures.values["seed"] = options.seed
    exports()  # recorded before the time begins
    began, environment = time.monotonic(), os.environ.copy()
    for kind in chosen:
        with kind() as target:
            target.run(options.seed, options.seconds * kind.share / whole)
        _tell(figures, target)
        if os.environ != environment:
            figures.broken.append(f"{target.name}: the environment has changed")
    figures.values["seconds"] = time.monotonic() - began
    return figures.finish(options.figures)


def _tell(figures: Figures, target: Target) -> None:
    values = {
        "inputs": target.given,
        **dict(sorted(target.outcomes.items())),
        "failures": len(target.failures),
        "slowest, ms": target.slowest * 1000,
    }
    figures.values |= {f"{target.name}: {what}": value for what, value in values.items()}
    figures.broken += target.failures
    if not target.given:
        figures.broken.append(f"{target.name}: no input was given")


if __name__ == "__main__":
    sys.exit(main())

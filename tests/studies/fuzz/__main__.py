"""``make -C tests/studies fuzz``: give ``watch`` bad input, and print the outcomes."""

import os
import sys

from studies.figures import Figures
from studies.load.command import Command

from .recorded import exports
from .shown import Shown
from .target import Target
from .wire import Wire

TARGETS: tuple[type[Target], ...] = (Wire, Shown)


def main(arguments: list[str] | None = None) -> int:
    """Run, and return the exit status."""
    options = Command("fuzz", __doc__, seconds=60).parse(arguments)
    figures = Figures(f"Bad input for {options.seconds:g} s", {"seed": options.seed})
    exports()  # recorded before the time begins
    environment = os.environ.copy()
    for kind in TARGETS:
        with kind() as target:
            target.run(options.seed, options.seconds / len(TARGETS))
        outcomes = {"inputs": target.given, **dict(sorted(target.outcomes.items()))}
        figures.values |= {f"{target.name}: {what}": n for what, n in outcomes.items()}
        figures.broken += target.failures
        if not target.given or os.environ != environment:
            figures.broken.append(f"{target.name}: no input, or the environment has changed")
    return figures.finish()


if __name__ == "__main__":
    sys.exit(main())

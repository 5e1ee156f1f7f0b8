"""Random lives of pools over the real libraries, beside a model of what has to be reported."""

from __future__ import annotations

import os
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

from studies.load.command import Command
from support.figures import Figures

from .walk import Counts, Walk
from .world import Surroundings

PAIRS = (("httpx", "sync"), ("httpx", "asyncio"), ("httpx2", "sync"), ("httpx2", "asyncio"))


def main(arguments: list[str] | None = None) -> int:
    """Return 0 when all held, 1 when not."""
    parser = Command("model", __doc__, seconds=300, most=86_400)
    parser.add_argument(
        "--life", type=int, help="only this one of the seed's lives, for each library and mode"
    )
    options = parser.parse(arguments)
    warnings.simplefilter("ignore")  # what was dropped on purpose is reported as left open
    figures = Figures("Random lives of pools, beside a model", {"seed": options.seed})
    counts = {pair: Counts() for pair in PAIRS}
    until = time.monotonic() + options.seconds
    failed: set[Any] = set()
    life = options.life or 0
    with Surroundings.start() as surroundings:
        while time.monotonic() < until and len(failed) < len(PAIRS):
            for pair in PAIRS:
                if pair in failed or time.monotonic() > until:
                    continue
                walk = Walk(surroundings, *pair, f"{options.seed} {life}", counts[pair])
                try:
                    walk.live()
                except Exception:
                    failed.add(pair)
                    steps = "\n    ".join(walk.taken)
                    figures.broken.append(
                        f"{' '.join(pair)}, --seed {options.seed} --life {life}\n    {steps}\n"
                        f"{traceback.format_exc()}"
                    )
            if options.life is not None:
                break
            life += 1
    _fill(figures, counts)
    return figures.finish(options.figures)


def _fill(figures: Figures, counts: dict[tuple[str, str], Counts]) -> None:
    for (library, mode), of_pair in counts.items():
        figures.values[f"{library} {mode}: lives"] = of_pair.lives
    every = list(counts.values())
    sums: dict[str, Callable[[Counts], int]] = {
        "lives": lambda one: one.lives,
        "lives left, spoilt by the library's own race": lambda one: one.spoilt,
        "steps": lambda one: one.steps.total(),
        "times that everything was compared": lambda one: one.compared,
    }
    figures.values |= {name: sum(map(of, every)) for name, of in sums.items()}
    steps: Counter[str] = sum((one.steps for one in every), Counter())
    phases: Counter[str] = sum((one.phases for one in every), Counter())
    figures.values |= {f"steps: {name}": n for name, n in sorted(steps.items())}
    figures.values |= {f"compared with a request in {name}": n for name, n in phases.items()}


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # a thread that a broken life has left behind would be waited for

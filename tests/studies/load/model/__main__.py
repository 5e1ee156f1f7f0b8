"""Explores random lives of pools for a while, and tells how much it has seen."""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
import warnings
from pathlib import Path

import hypothesis.configuration
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import FlakyStrategyDefinition
from hypothesis.stateful import run_state_machine_as_test

from support.figures import Figures
from support.libraries import Library

from .counting import Counts
from .running import MACHINES, machine
from .world import Surroundings

_AT_ONCE = 25
"""Examples of one machine before the next one's turn."""
_STEPS = 40


def main() -> int:
    """Run it, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m studies.load.model", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long to go on")
    parser.add_argument("--examples", type=int, help="at most so many of each machine")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--figures", type=Path, help="a file for the figures, as JSON")
    arguments = parser.parse_args()
    hypothesis.configuration.set_hypothesis_home_dir(".cache/hypothesis")
    warnings.simplefilter("ignore")  # what was dropped on purpose is reported as left open
    figures = Figures("Random lives of pools, beside a model of what has to be told of them")
    figures.values["seed"] = arguments.seed
    counts = {key: Counts() for key in MACHINES}
    with Surroundings.start() as surroundings:
        _explore(surroundings, counts, arguments, figures)
    together = Counts()
    for (library, mode), of_machine in counts.items():
        of_machine.tell(figures, f"{library} {mode}")
        together.add(of_machine)
    together.tell(figures)
    for step, number in sorted(together.steps.items()):
        figures.values[f"steps: {step.replace('_', ' ')}"] = number
    for phase, number in sorted(together.phases.items()):
        figures.values[f"compared with a request in {phase}"] = number
    return figures.finish(arguments.figures)


def _explore(
    surroundings: Surroundings,
    counts: dict[tuple[str, str], Counts],
    arguments: argparse.Namespace,
    figures: Figures,
) -> None:
    until = time.monotonic() + arguments.minutes * 60
    begin_at = arguments.seed
    failed: set[tuple[str, str]] = set()
    while time.monotonic() < until and len(failed) < len(MACHINES):
        for key, of_machine in counts.items():
            most = _AT_ONCE
            if arguments.examples is not None:
                most = min(most, arguments.examples - of_machine.examples)
            if key in failed or most <= 0 or time.monotonic() > until:
                continue
            lives = seed(begin_at)(machine(surroundings, *key, of_machine))
            try:
                run_state_machine_as_test(lives, settings=_settings(most))
            except FlakyStrategyDefinition as error:
                # A life went otherwise when it was begun again, so that other steps were possible:
                # by the race that spoils them (`PoolLife`), nothing that was told was wrong.
                if not Library.load(key[0]).assigns_twice:
                    failed.add(key)
                    figures.broken.append(f"{' '.join(key)} with seed {begin_at}: {_words(error)}")
                of_machine.spoilt += 1
            except Exception as error:
                failed.add(key)
                figures.broken.append(f"{' '.join(key)} with seed {begin_at}: {_words(error)}")
        begin_at += 1
        if arguments.examples is not None and all(
            of_machine.examples >= arguments.examples for of_machine in counts.values()
        ):
            break


def _words(error: BaseException) -> str:
    """The error and the steps that lead to it; of one that comes only now and then, all it was."""
    parts = [str(error), *getattr(error, "__notes__", ())]
    parts += [_words(inner) for inner in getattr(error, "exceptions", ())]
    return "\n".join(parts)


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=_STEPS,
        deadline=None,
        database=None,
        print_blob=False,
        phases=(Phase.generate, Phase.shrink),
        # A step waits for real sockets, which is what takes the time.
        suppress_health_check=[HealthCheck.too_slow],
    )


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # a thread that a broken example has left behind would be waited for

"""``make -C tests/studies score``: what `diagnose` names, over runs of real load."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import Counter
from collections.abc import Sequence

from ..catalogue import SCORED
from .runs import HEALTHY, STARVED, Result, incident_of, score

REQUIRED = 0.95


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when enough is right and no healthy run was given a cause, else 1."""
    parser = argparse.ArgumentParser(prog="scoring", description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="default: 200")
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    parser.add_argument("--workers", type=int, default=4, help="processes; default: 4")
    names = f"only runs with this one ({', '.join(SCORED)}); can be given several times"
    only = {"choices": list(SCORED), "metavar": "INCIDENT", "help": names}
    parser.add_argument("--only", action="append", **only)
    parser.add_argument("--replay", type=int, metavar="INDEX", help="one run again, to look at")
    options = parser.parse_args(arguments)
    if options.runs < 1 or options.workers < 1:
        parser.error("--runs and --workers are numbers from 1 on")
    began, wanted = time.monotonic(), options.only or SCORED
    indices = (i for i in itertools.count() if incident_of(options.seed, i).name in wanted)
    if options.replay is not None:
        indices = iter([options.replay])
        options.runs = 1
    results = []
    for result in score(options.seed, itertools.islice(indices, options.runs), options.workers):
        results.append(result)
        if not result.right or options.replay is not None:
            print(f"--seed {options.seed} --replay {result.index}: {result}\n", flush=True)
    print(f"\n{table(results)}\nSeed {options.seed}, {time.monotonic() - began:.0f} s.")
    return 0 if passes(results) else 1


def passes(results: Sequence[Result]) -> bool:
    """Whether enough is right, and no healthy run was given a cause."""
    right = sum(result.right for result in results)
    return right >= REQUIRED * len(results) and not _false_alarms(results)


def table(results: Sequence[Result]) -> str:
    """By hidden incident the verdicts, those that are wrong in capitals, and what follows."""
    lines = []
    for incident in SCORED:
        verdicts = Counter(
            result.verdict if result.right else result.verdict.upper()
            for result in results
            if result.incident == incident
        )
        if verdicts:
            counts = ", ".join(f"{count} x {name}" for name, count in verdicts.most_common())
            lines.append(f"{incident:16}{counts}")
    share = sum(result.right for result in results) / len(results)
    healthy = sum(result.hidden == HEALTHY for result in results)
    lines.append(f"\nright: {share:.1%} of {len(results)}, asked for is {REQUIRED:.0%}")
    lines.append(f"false alarms: {_false_alarms(results)} in {healthy} healthy runs")
    again = sum(result.tries - 1 for result in results)
    lines.append(f"played again, having had no processor for {STARVED:g} s or more: {again}")
    return "\n".join(lines)


def _false_alarms(results: Sequence[Result]) -> int:
    return sum(result.hidden == HEALTHY and not result.right for result in results)


if __name__ == "__main__":
    sys.exit(main())

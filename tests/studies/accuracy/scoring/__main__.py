"""``make score``: the confusion matrix of `diagnose`, over runs of real load."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Sequence

from .causes import Cause, cause_of
from .drawing import draw
from .matrix import Matrix
from .playing import Result, play, prepare
from .workers import score


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when enough is right and no healthy run was given a cause, else 1."""
    parser = argparse.ArgumentParser(prog="scoring", description=__doc__)
    parser.add_argument("--runs", type=_positive, default=200, help="default: 200")
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    parser.add_argument("--workers", type=_positive, default=4, help="processes; default: 4")
    parser.add_argument(
        "--only",
        action="append",
        type=_cause,
        metavar="CAUSE",
        help=f"play runs with this cause only ({', '.join(Cause)}); can be given several times",
    )
    parser.add_argument(
        "--replay",
        type=_run_name,
        metavar="SEED/INDEX",
        help="play one run again, and print all there is of it",
    )
    options = parser.parse_args(arguments)
    if options.replay is not None:
        return _replay(*options.replay)
    began = time.monotonic()
    wanted = options.only or tuple(Cause)
    indices = itertools.islice(
        (index for index in itertools.count() if cause_of(options.seed, index) in wanted),
        options.runs,
    )
    results = []
    for result in score(options.seed, indices, options.workers):
        results.append(result)
        if not result.right:
            _print_run(options.seed, result)
    matrix = Matrix(results)
    print(f"\n{matrix}\nSeed {options.seed}, {time.monotonic() - began:.0f} s.")
    return 0 if matrix.passes else 1


def _print_run(seed: int, result: Result) -> None:
    print(
        f"--replay {seed}/{result.index}: hidden {result.cause}, verdict {result.verdict}\n"
        f"{result.plan}\n{result.findings}\n"
        f"({result.starved:.2f} s without a processor, try {result.tries})\n",
        flush=True,
    )


def _replay(seed: int, index: int) -> int:
    prepare()
    result = play(draw(seed, index))
    for when, text in zip(("before", "after"), result.snapshots, strict=True):
        print(f"--- {when} ---\n{text}\n")
    _print_run(seed, result)
    return 0 if result.right else 1


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _cause(text: str) -> Cause:
    try:
        return Cause(text)
    except ValueError:
        known = ", ".join(Cause)
        raise argparse.ArgumentTypeError(f"{text!r} is none of {known}") from None


def _run_name(text: str) -> tuple[int, int]:
    seed, slash, index = text.partition("/")
    try:
        if slash and int(index) >= 0:
            return int(seed), int(index)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is no seed and index, as in 1/50")


if __name__ == "__main__":
    sys.exit(main())

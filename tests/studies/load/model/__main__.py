"""Compares random lives of pools of the real libraries with a model of the expected reports."""

import gc
import itertools
import os
import sys
import time
import traceback
import warnings
from collections import Counter
from typing import Any

from studies.figures import Figures
from studies.load.command import Command
from support.listener import ServerLoop
from support.network import Certificates

from .walk import Walk

PAIRS = (("httpx", "sync"), ("httpx", "asyncio"), ("httpx2", "sync"), ("httpx2", "asyncio"))


def main(arguments: list[str] | None = None) -> int:
    """Return 0 if all checks passed, 1 if not."""
    parser = Command("model", __doc__, seconds=300)
    parser.add_argument(
        "--life", type=int, help="only the life with this number, for each library and mode"
    )
    options = parser.parse(arguments)
    warnings.simplefilter("ignore")  # about resources that a life drops on purpose
    figures = Figures("Random lives of pools, compared with a model", {"seed": options.seed})
    counts: dict[Any, Counter[str]] = {pair: Counter() for pair in PAIRS}
    certificates = Certificates.make()
    shared = ServerLoop(), certificates, certificates.client()
    # Lives collect garbage often: older objects are frozen to make that fast. Automatic collections
    # would make two runs differ.
    gc.collect()
    gc.freeze()
    gc.disable()
    until = time.monotonic() + options.seconds
    lives = itertools.count() if options.life is None else [options.life]
    pairs = list(PAIRS)
    for life, pair in ((life, pair) for life in lives for pair in tuple(pairs)):
        walk = Walk(shared, *pair, f"{options.seed} {pair} {life}", counts[pair])
        try:
            walk.live()
        except Exception:
            pairs.remove(pair)
            where = f"{' '.join(pair)}, --seed {options.seed} --life {life}"
            figures.broken.append("\n    ".join([where, *walk.taken, traceback.format_exc()]))
        if time.monotonic() > until or not pairs:
            break
    figures.values |= {f"lives of {' '.join(pair)}": n["lives"] for pair, n in counts.items()}
    figures.values |= dict(sorted(sum(counts.values(), Counter()).items()))
    return figures.finish()


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # don't wait for threads that a broken life has left behind

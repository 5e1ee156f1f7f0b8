"""Random lives of pools over the real libraries, beside a model of what has to be reported."""

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
    """Return 0 when all held, 1 when not."""
    parser = Command("model", __doc__, seconds=300)
    parser.add_argument(
        "--life", type=int, help="only this one of the seed's lives, for each library and mode"
    )
    options = parser.parse(arguments)
    warnings.simplefilter("ignore")  # what was dropped on purpose is reported as left open
    figures = Figures("Random lives of pools, beside a model", {"seed": options.seed})
    counts: dict[Any, Counter[str]] = {pair: Counter() for pair in PAIRS}
    certificates = Certificates.make()
    shared = ServerLoop(), certificates, certificates.client()
    # Lives collect garbage often. What is there before them need not be looked at each time, and a
    # collection at any other moment would make two runs differ.
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
    os._exit(status)  # a thread that a broken life has left behind would be waited for

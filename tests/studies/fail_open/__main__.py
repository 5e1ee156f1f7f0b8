"""Tries every break: ``PYTHONPATH=tests python -m studies.fail_open``.

``--only TEXT`` tries those whose words have this in them, ``--every N`` each Nth of them,
``--figures FILE`` keeps the figures.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from studies.figures import Figures

from .breaks import every
from .discovery import replaced
from .judging import counts as counts_for
from .judging import too_many
from .servers import judged, served


def main() -> int:
    """Try them, tell what did not hold, and give the exit status."""
    parser = argparse.ArgumentParser(
        prog="studies.fail_open",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default="", help="those whose words have this in them")
    parser.add_argument("--every", type=int, default=1, help="each so-manieth of them only")
    parser.add_argument("--at-once", type=int, default=2, help="processes at once")
    parser.add_argument("--figures", type=Path, help="a JSON file for the figures")
    arguments = parser.parse_args()
    if arguments.every < 1:
        parser.error("--every is 1 at least")
    breaks = [what for what in every() if arguments.only in f"{what.kind} {what}"]
    breaks = breaks[:: arguments.every]
    if not breaks or arguments.at_once < 1:
        parser.error("nothing to try")
    figures = Figures("Libraries that behave otherwise than we know them")
    counts: Counter[str] = Counter()
    with served() as servers:
        for what, outcome, found in judged(breaks, servers, arguments.at_once):
            if not outcome.applicable:
                counts["changes that make no sense for their name"] += 1
                continue
            counts["breaks tried twice"] += outcome.tries > 1
            if not counts_for(what, outcome):
                counts["changes of what is not read"] += 1
                figures.broken += [f"{what}: {complaint}" for complaint in found]
                continue
            counts["breaks tried"] += 1
            counts["requests"] += len(outcome.observed)
            counts["hooks turned off"] += len(outcome.off)
            counts["warnings"] += len(outcome.warnings)
            counts["breaks that nothing was lost by"] += not (outcome.off or outcome.errors)
            if not found:
                counts["requests untouched"] += len(outcome.observed)
            figures.broken += [f"{what}: {complaint}" for complaint in found]
    if too_many(counts["breaks tried twice"], len(breaks)):
        figures.broken.append(f"{counts['breaks tried twice']} breaks held only at the second try")
    figures.values["methods replaced"] = len(replaced())
    figures.values.update(counts)
    return figures.finish(arguments.figures)


if __name__ == "__main__":
    sys.exit(main())

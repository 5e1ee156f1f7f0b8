"""Try every break: ``make -C tests/studies fail-open``."""

import sys
from collections import Counter

from studies.figures import Figures, Parser

from .breaks import every
from .discovery import replaced
from .judging import counts as counts_for
from .judging import too_many
from .servers import judged, served


def main() -> int:
    """Print what did not hold, and return the exit status."""
    parser = Parser("fail-open", __doc__)
    parser.add_argument("--only", default="", help="breaks whose description contains this")
    parser.add_argument("--every", type=int, default=1, help="only every Nth break")
    arguments = parser.parse_args()
    methods = replaced()
    breaks = [what for what in every(methods) if arguments.only in f"{what.kind} {what}"]
    breaks = breaks[:: arguments.every]
    if not breaks:
        parser.error("nothing to try")
    figures = Figures("Libraries that behave differently", {"methods replaced": len(methods)})
    counts: Counter[str] = Counter()
    with served() as servers:
        for what, outcome, found in judged(breaks, servers):
            if not outcome.applicable:
                counts["changes that make no sense for their name"] += 1
            elif not counts_for(what, outcome):
                counts["changes of attributes that are not read"] += 1
            else:
                counts["breaks tried"] += 1
                counts["requests"] += len(outcome.observed)
                counts["hooks turned off"] += len(outcome.off)
            counts["breaks tried twice"] += outcome.tries > 1
            figures.broken += [f"{what}: {complaint}" for complaint in found]
    if too_many(counts["breaks tried twice"], len(breaks)):
        figures.broken.append(f"{counts['breaks tried twice']} breaks held only at the second try")
    figures.values.update(counts)
    return figures.finish()


if __name__ == "__main__":
    sys.exit(main())

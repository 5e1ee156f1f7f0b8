"""Compares metrics under load with the kernel's sockets, the servers' schedule and the clients."""

import logging
import sys
import traceback

from studies.figures import Figures
from studies.load.command import Command

from .rounds import MODES, run
from .world import Measures, MismatchError

CROWD = 5


def main(arguments: list[str] | None = None) -> int:
    """Return 0 if all checks passed, 1 if not."""
    parser = Command("truth", __doc__, seconds=120)
    parser.add_argument("--library", nargs="+", choices=list(MODES), default=list(MODES))
    late = "by which factor threads may be later than on an idle machine"
    parser.add_argument("--slack", type=float, default=1.0, help=late)
    crowded = f"{CROWD} times as many requests share the pools"
    parser.add_argument("--crowded", action="store_true", help=crowded)
    options = parser.parse(arguments)
    pairs = [(name, mode) for name in options.library for mode in MODES[name]]
    # asyncio reports sessions that are dropped on purpose.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    figures = Figures("Metrics, compared with the truth", {"seed": options.seed})
    measures, settings = Measures(), {"seed": options.seed, "slack": options.slack}
    settings["crowd"] = CROWD if options.crowded else 1
    for library, mode in pairs:
        print(f"{library} {mode}", flush=True)
        try:
            run(library, mode, options.seconds / len(pairs), measures, **settings)
        except Exception as error:
            what = str(error) if isinstance(error, MismatchError) else traceback.format_exc()
            figures.broken.append(f"{library} {mode}, seed {options.seed}: {what}")
    figures.values |= measures.as_figures()
    return figures.finish()


if __name__ == "__main__":
    sys.exit(main())

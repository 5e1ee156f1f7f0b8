"""Write each defect of mutants.toml into a clone of the HEAD commit, and record which test fails.

Exits with 1 if a mutant is not detected.

The first run on a commit installs what its tests need into the clone (about 75 MB) and runs all
tests once under coverage, to map lines to tests. The clones, this map and the results are kept in
.cache/mutants. The test that detected a mutant last, `detected_by`
in mutants.toml, is tried first.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

from studies.figures import Parser

from .checkout import Checkout
from .mutant import Mutant

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def main() -> int:
    """Try the mutants and return the exit status."""
    parser = Parser("mutants", __doc__)
    parser.add_argument(
        "--only", action="append", help="try only the mutant of this name, even if it has a result"
    )
    only = parser.parse_args().only
    tables = tomllib.loads((HERE / "mutants.toml").read_text(encoding="utf-8"))["mutant"]
    mutants = [Mutant(**table) for table in tables if not only or table["name"] in only]
    if not mutants:
        parser.error(f"no mutant is named {', '.join(only)}; the names are in mutants.toml")
    head = subprocess.check_output(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], text=True)
    checkout = Checkout.of(ROOT, head.strip())
    undetected = 0
    for mutant in mutants:
        covering, test = checkout.result(mutant, again=bool(only))
        undetected += not test
        found = test or f"not detected by the {covering} tests that cover it"
        print(f"{checkout.commit}  {mutant.name:<45} {found}", flush=True)
    return int(bool(undetected))


if __name__ == "__main__":
    sys.exit(main())

"""``python -m studies.mutants``: apply each mutant to a clone, and record which test fails.

The clone is made of a commit, so that the same mutants can be tried on the tests of two commits::

    python -m studies.mutants --commit 2cdef9f --commit HEAD

The first run on a commit installs what its tests need into the clone (about 75 MB), then runs all
of its tests once under coverage to learn which tests cover which line. These and the
results are kept in ``.cache/mutants``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path

from .checkout import Checkout
from .mutant import Mutant
from .results import Result, write

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def main() -> int:
    """Try the mutants. 1 where one is detected by a commit's tests and not by a later one's."""
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument(
        "--commit",
        action="append",
        help="whose tests to run; can be given several times, oldest first (default: HEAD)",
    )
    parser.add_argument("--only", action="append", help="try the mutant of this name only, again")
    options = parser.parse_args()
    tables = tomllib.loads((HERE / "mutants.toml").read_text(encoding="utf-8"))["mutant"]
    mutants = [Mutant(**table) for table in tables]
    if options.only:
        mutants = [mutant for mutant in mutants if mutant.name in options.only]
    if not mutants:
        parser.error(f"no mutant is named {', '.join(options.only)}; the names are in mutants.toml")
    results: dict[str, dict[str, Result]] = {}
    for commit in options.commit or ["HEAD"]:
        checkout = Checkout.of(ROOT, _hash(commit))
        results[checkout.commit] = {}
        for mutant in mutants:
            found = checkout.result(mutant, again=bool(options.only))
            results[checkout.commit][mutant.name] = found
            print(f"{checkout.commit}  {mutant.name:<45} {found}", flush=True)
    lost = write(HERE / "results.md", mutants, results, whole=not options.only)
    for name in lost:
        print(f"{name}: detected before, not detected now", file=sys.stderr)
    return int(bool(lost))


def _hash(commit: str) -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", f"{commit}^{{commit}}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())

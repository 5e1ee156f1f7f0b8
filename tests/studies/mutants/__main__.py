"""Write each defect of mutants.toml into a clone of a commit, and record which test fails.

Several commits can be compared:

    python -m studies.mutants --commit 2cdef9f --commit HEAD

Exits with 1 if a mutant is not detected; with several commits, if a later commit does not detect
one that the first commit detects.

The first run on a commit installs what its tests need into the clone (about 75 MB) and runs all
tests once under coverage, to map lines to tests. The clones, this map and the results are kept in
.cache/mutants. The test that detected a mutant last, `detected_by`
in mutants.toml, is tried first.
"""

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path

from .checkout import Checkout
from .mutant import Mutant
from .results import Result, failures

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def main() -> int:
    """Try the mutants and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="mutants", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--commit",
        action="append",
        help="commit whose tests to run; can be given several times, oldest first (default: HEAD)",
    )
    parser.add_argument(
        "--only", action="append", help="try only the mutant of this name, even if it has a result"
    )
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
    failed = failures(results)
    for failure in failed:
        print(failure, file=sys.stderr)
    return int(bool(failed))


def _hash(commit: str) -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", f"{commit}^{{commit}}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())

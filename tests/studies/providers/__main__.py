"""``make -C tests/studies providers``: calls each provider, checks it, writes docs/providers.md.

With names of providers, only these are checked, and the page is not written.
"""

import importlib.util
import logging
import sys
import warnings
from functools import partial
from pathlib import Path

from studies.figures import Parser

from .checking import Faults, census, checks, table
from .page import filled
from .rows import BY_PROVIDER, ROWS, Row
from .seeing import Fakes, metric_names, see

PAGE = Path(__file__).parents[3] / "docs" / "providers.md"


def main() -> int:
    """Return the exit status."""
    parser = Parser("providers", __doc__)
    parser.add_argument("providers", nargs="*", choices=[*BY_PROVIDER, []], metavar="provider")
    options = parser.parse_args()
    if importlib.util.find_spec("mistralai") is None:
        print("The SDKs of all providers are missing: `make test-all` installs them.")
        return 2
    warnings.simplefilter("ignore")  # the SDKs' own
    logging.getLogger().addHandler(logging.NullHandler())
    names = options.providers or BY_PROVIDER
    rows: list[Row] = []
    visible: dict[str, set[str]] = {}
    broken = 0

    def took_census(row: Row, fakes: Fakes, faults: Faults) -> None:
        seen = see(row, fakes)
        rows.append(census(row, seen, faults))
        visible.setdefault(row.library, set()).update(metric_names(seen))

    def one(provider: str, what: str, check: object) -> bool:
        faults = Faults()
        try:
            check(fakes, faults)  # type: ignore[operator]
        except Exception as error:
            faults.append(f"{type(error).__name__}: {error}")
        print(f"{provider:18} {what}: {'; '.join(faults) or 'as expected'}", flush=True)
        return bool(faults)

    with Fakes() as fakes:
        broken += one("all", "table", lambda _, faults: table(faults))
        for row in (row for row in ROWS if row.provider in names):
            broken += one(row.provider, row.library, partial(took_census, row))
        broken += sum(one(*each) for each in checks() if each[0] in names)
    if options.providers or len(rows) < len(ROWS):
        return int(broken > 0)
    found = PAGE.read_text()
    text = filled(found, rows, visible)
    PAGE.write_text(text)
    print(f"docs/providers.md {'is up to date' if text == found else 'was updated'}.")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())

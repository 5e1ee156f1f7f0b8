"""Writes the tables of docs/maintainers/compatibility.md from what ran: ``make compatibility``.

Reads the records that the matrix leaves below .cache/compat. Writes what is between the marks of a
table; the rest of the page is written by hand.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from environments import ENVIRONMENTS, ROOT

PAGE: Final = ROOT / "docs" / "maintainers" / "compatibility.md"
RECORDS: Final = ROOT / ".cache" / "compat"
OBSERVED: Final = (
    "any-llm-sdk gluellm openai anthropic httpx httpcore httpx2 httpcore2 aiohttp urllib3 grpcio "
    "opentelemetry-api opentelemetry-instrumentation opentelemetry-instrumentation-httpx wrapt h11 "
    "h2 rich"
).split()
"""Whose versions the page tells: dependencies, what is observed, and what sits on that."""
Record = Mapping[str, Any]


class IncompleteError(Exception):
    """Something has not run. The message says what, and how to run it."""


def main() -> int:
    """Write the page. Returns the exit status."""
    records = [json.loads(file.read_text()) for file in sorted(RECORDS.glob("*.json"))]
    try:
        text = filled(PAGE.read_text(), records)
    except IncompleteError as error:
        print(error, file=sys.stderr)
        return 1
    PAGE.write_text(text)
    print(f"wrote {PAGE.relative_to(ROOT)}, from {len(records)} records")
    return 0


def filled(page: str, records: Sequence[Record]) -> str:
    """The page with its tables made anew. Raises `IncompleteError`."""
    ran = {record["name"] for record in records}
    missing = sorted(set(ENVIRONMENTS) - ran)
    if missing:
        raise IncompleteError(
            f"Not run yet: {', '.join(missing)}. Run make -C tests/studies matrix."
        )
    today = dt.datetime.now(dt.UTC).date()
    for mark, lines in (
        ("pythons", [f"On {today}:", "", *_pythons(records)]),
        ("versions", _versions(records)),
        ("matrix", _matrix(records)),
    ):
        begin = f"<!-- {mark}: by make -C tests/studies compatibility -->"
        block = "\n".join((begin, *lines, f"<!-- /{mark} -->"))
        page, found = re.subn(
            rf"<!-- {mark}: .*?<!-- /{mark} -->", lambda _, b=block: b, page, flags=re.DOTALL
        )
        if found != 1:
            raise IncompleteError(f"{PAGE.name} has the marks of the table {mark} {found} times")
    return page


def _pythons(records: Iterable[Record]) -> list[str]:
    lines = ["| Python | environments of the matrix |", "|---|---|"]
    for python in sorted({record["python"] for record in records}, key=_sortable):
        of_it = [record for record in records if record["python"] == python]
        failed = sum(bool(record["failed"]) for record in of_it)
        told = f"{len(of_it)}, {failed} failed" if failed else str(len(of_it))
        lines.append(f"| {python} | {told} |")
    return lines


def _versions(records: Iterable[Record]) -> list[str]:
    lines = ["| package | lowest | newest |", "|---|---|---|"]
    lowest = [record for record in records if record["name"].startswith("lowest")]
    newest = [record for record in records if record["name"] in ("newest", "anthropic-2")]
    for name in OBSERVED:
        low = _found(name, lowest)
        high = _found(name, newest)
        lines.append(f"| {name} | {low[0] if low else ''} | {high[-1] if high else ''} |")
    return lines


def _found(name: str, records: Iterable[Record]) -> list[str]:
    found = {record["versions"][name] for record in records if name in record["versions"]}
    return sorted(found, key=_sortable)


def _matrix(records: Iterable[Record]) -> list[str]:
    by = {(record["name"], _minor(record["python"])): record for record in records}
    pythons = sorted({minor for _, minor in by}, key=_sortable)
    lines = [
        f"| environment | what it shows | {' | '.join(pythons)} |",
        f"|---|---|{'---|' * len(pythons)}",
    ]
    for name, environment in ENVIRONMENTS.items():
        cells = (_outcome(by[name, p]) if (name, p) in by else "not run" for p in pythons)
        lines.append(f"| `{name}` | {environment.shows} | {' | '.join(cells)} |")
    return lines


def _outcome(record: Record) -> str:
    told = f"{record['passed']} passed"
    if record["skipped"]:
        told += f", {record['skipped']} skipped"
    if record["failed"]:
        told += f", **{len(record['failed'])} failed**"
    return told


def _minor(python: str) -> str:
    return ".".join(python.split(".")[:2])


def _sortable(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


if __name__ == "__main__":
    sys.exit(main())

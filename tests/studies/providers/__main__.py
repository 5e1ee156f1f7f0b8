"""Makes the run and writes docs/providers.md from it; ``--check`` fails where it differs."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from support.listener import L, Listener, ServerLoop
from support.network import Certificates

from .measuring import measured, metric_names
from .page import page
from .rows import ROWS, Row
from .seeing import Fakes, see

PAGE = Path(__file__).parents[3] / "docs" / "providers.md"


@contextlib.contextmanager
def fakes() -> Iterator[Fakes]:
    """The fake providers, on a loop of their own."""
    servers = ServerLoop()
    started: list[Listener] = []

    def listen(kind: Callable[..., L], /, **settings: Any) -> L:
        started.append(listener := kind(servers, **settings))
        return listener

    with tempfile.TemporaryDirectory() as directory:
        yield Fakes(listen, Certificates.make(), Path(directory))
    for listener in reversed(started):
        listener.close()
    servers.stop()


def run() -> tuple[list[Row], dict[str, set[str]]]:
    """Every provider as it was measured, and the metrics that each library has."""
    rows: list[Row] = []
    visible: dict[str, set[str]] = {}
    with fakes() as found:
        for expected in ROWS:
            seen = see(expected, found)
            row = measured(expected, seen)
            rows.append(row)
            visible.setdefault(row.library, set()).update(metric_names(seen))
            print(
                f"{row.provider:18} {row.library:8} {_differences(expected, row) or 'as expected'}"
            )
    return rows, visible


def _differences(expected: Row, row: Row) -> str:
    return ", ".join(
        f"{name} {getattr(row, name)!r}, expected {getattr(expected, name)!r}"
        for name in (field.name for field in fields(Row))
        if getattr(row, name) != getattr(expected, name)
    )


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="make -C tests/studies providers", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    warnings.simplefilter("ignore")  # the SDKs' own
    logging.disable()
    rows, visible = run()
    text = page(rows, visible)
    found = PAGE.read_text() if PAGE.exists() else ""
    if text == found:
        print("docs/providers.md is up to date.")
        return int(rows != list(ROWS))
    if check:
        lines = difflib.unified_diff(found.splitlines(), text.splitlines(), "the page", "this run")
        print("\n".join(lines))
        print("docs/providers.md is out of date: run `make providers`.")
        return 1
    PAGE.write_text(text)
    print("Wrote docs/providers.md.")
    return int(rows != list(ROWS))


if __name__ == "__main__":
    sys.exit(main())

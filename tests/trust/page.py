"""docs/trust.md, from what a run counted."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from typing import Any

NOTICE = "<!-- Written by `make trust` from a run; edit tests/trust, not this page. -->\n"

_HEAD = """
# What was counted

The figures of one run of `make trust`, which runs the tests behind the [guarantees](guarantees.md)
in their long form. `.ci/run` runs the same tests in a short form with each change.

{when}, on {cores} cores.
"""


def page(parts: Sequence[Mapping[str, Any]]) -> str:
    """The page; each part as it was kept, in order."""
    commits = sorted({part["commit"] for part in parts})
    today = dt.datetime.now(dt.UTC).date()
    minutes = sum(part["seconds"] for part in parts) / 60
    when = f"On {today} at {' and '.join(commits)}, {minutes:.0f} minutes of tests"
    sections = [NOTICE + _HEAD.format(when=when, cores=os.cpu_count())]
    for part in parts:
        rows = [f"| {name} | {_cell(value)} |" for name, value in part["figures"].items()]
        broken = [f"**Did not hold:** {each}" for each in part["broken"]]
        took = f"{part['seconds']} s"
        table = "\n".join(("| | |", "|---|---|", *rows, f"| time | {took} |"))
        sections.append("\n\n".join((f"## {part['title']}", table, *broken)) + "\n")
    return "\n".join(sections)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value).replace("|", "\\|")

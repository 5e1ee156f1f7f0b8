"""docs/trust.md, from what a run counted."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from typing import Any

NOTICE = "<!-- Written by `make trust` from a run; edit tests/trust, not this page. -->\n"

_HEAD = """
# What was counted

What each part of `make trust` counted when it ran last, and at which commit. They are the tests
behind the [guarantees](guarantees.md), most of them in their long form; `.ci/run` runs the short
forms with each change. Written on {today}, on a machine with {cores} cores.
"""


def page(parts: Sequence[Mapping[str, Any]]) -> str:
    """The page; each part as it was kept, in order."""
    today = dt.datetime.now(dt.UTC).date()
    sections = [NOTICE + _HEAD.format(today=today, cores=os.cpu_count())]
    for part in parts:
        rows = [f"| {name} | {_cell(value)} |" for name, value in part["figures"].items()]
        broken = [f"**Did not hold:** {each}" for each in part["broken"]]
        rows.append(f"| time | {part['seconds']} s |")
        rows.append(f"| at | {part['commit']} |")
        table = "\n".join(("| | |", "|---|---|", *rows))
        sections.append("\n\n".join((f"## {part['title']}", table, *broken)) + "\n")
    return "\n".join(sections)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value).replace("|", "\\|")

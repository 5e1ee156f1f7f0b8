"""``doctor --attach PID``: the report."""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from typing import Any

from opentelemetry.instrumentation.gluellm.text import call_site_text, counted

from ..arguments import write_output
from ..text import printable_lines
from . import stacks, target

_BETWEEN = 1.0
"""Seconds between two looks: what is the same in both is a wait, not a step."""
_UNKNOWN = (
    "Not known from outside: limits, ages, and who holds the connections. Run this again in a "
    "minute: what is still listed hangs."
)


def attach(options: argparse.Namespace) -> int:
    """Print what the threads and tasks of a process wait for, and return the exit status."""
    report = _report(options.attach)
    text = json.dumps(report, indent=2) if options.json else printable_lines(_text(report))
    write_output(text, options.output)
    return int(any(one["what"] in (stacks.CONNECTION, stacks.LOOP) for one in report["waits"]))


def _report(pid: int) -> dict[str, Any]:
    target.check(pid)
    with target.explained(pid):
        first = stacks.look(pid)
        time.sleep(_BETWEEN)
        second = stacks.look(pid)
    same = Counter(wait for key, wait in second.items() if key in first)
    return {
        "pid": pid,
        "python": ".".join(map(str, target.python_of(pid) or ())),
        "waits": [
            {
                "what": wait.state,
                "kind": "task" if wait.task else "thread",
                "count": count,
                "where": wait.where or None,
            }
            for wait, count in same.most_common()
        ],
    }


def _text(report: dict[str, Any]) -> str:
    pid, waits = report["pid"], report["waits"]
    lines = [
        f"process {pid}, Python {report['python']}: read from outside twice in a second; unchanged"
    ]
    for one in waits:
        where = f" at {call_site_text(one['where'])}" if one["where"] else ""
        kind = counted(one["count"], one["kind"])
        if one["what"] == stacks.LOOP:
            lines.append(f"  {one['what']}{where}: all its requests stop")
        else:
            lines.append(
                f"  {kind} {'waits' if one['count'] == 1 else 'wait'} for {one['what']}{where}"
            )
    if not waits:
        lines.append("  no request, lock or blocked loop was in both looks")
    return "\n".join([*lines, "", _UNKNOWN])

"""``doctor`` alone: list the processes that can be inspected."""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any

from opentelemetry.instrumentation.gluellm.snapshots.on_signal import rendezvous, signals

from ..arguments import CommandError, write_output
from ..attach import target
from ..text import age_text, printable
from .process import HOW_TO_START

_MOST = 5
"""Processes that are named if none is prepared."""
_HEAD = ("service", "PID", "parent", "age", "")


def list_processes(options: argparse.Namespace) -> int:
    """Print a list of this user's processes, and return the exit status.

    Raises CommandError if there are none.
    """
    if not hasattr(os, "geteuid"):
        raise CommandError("this needs signals, which this system does not have")
    try:
        announced = rendezvous.presences(rendezvous.Directory.open(make=False))
    except FileNotFoundError:
        announced = {}
    if not announced:
        others = target.own_processes()[:_MOST]
        now = [f"\nProcess {pid}: {target.what_can_be_done(pid)}" for pid in others]
        raise CommandError(f"no process of this user is prepared: {HOW_TO_START}{''.join(now)}")
    listed = [_described(pid, announced[pid]) for pid in sorted(announced)]
    write_output(
        json.dumps({"processes": listed}, indent=2) if options.json else _table(listed),
        options.output,
    )
    return 0


def _described(pid: int, content: dict[str, Any]) -> dict[str, Any]:
    # The other process can be of another version.
    began = content.get("began")
    return {
        "service": content.get("service") or None,
        "pid": pid,
        "name": signals.status_of(pid).get("Name"),
        "parent": rendezvous.parent_of(pid),
        "age": max(0.0, time.time() - began) if isinstance(began, (int, float)) else None,
        "handler_replaced_by": content.get("handler_replaced_by"),
    }


def _table(listed: list[dict[str, Any]]) -> str:
    rows = [_HEAD]
    for one in listed:
        service = one["service"] or f"({one['name'] or 'no name'})"
        age = "-" if one["age"] is None else age_text(one["age"])
        replaced_by = one["handler_replaced_by"]
        note = replaced_by and f"gives no report: its handler is now {printable(replaced_by, 120)}"
        rows.append((printable(service), str(one["pid"]), str(one["parent"]), age, note or ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    first = listed[0]["pid"]
    return "\n".join(
        [*lines, "", f"To inspect one and its child processes: gluellm-pools doctor --pid {first}"]
    )

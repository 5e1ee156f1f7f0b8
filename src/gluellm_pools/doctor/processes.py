"""``doctor`` alone: list the processes that can be inspected. ``--instance``: find one of them."""

from __future__ import annotations

import argparse
import json
import os
import socket
import time
from typing import Any

from opentelemetry.instrumentation.gluellm.snapshots.on_signal import rendezvous, signals

from ..arguments import CommandError, write_output
from ..attach import target
from ..text import age_text, printable
from .process import HOW_TO_START

_MOST = 5
"""Processes that are named if none is prepared."""
_LONGEST_ID = 60
_HEAD = ("service", "instance", "PID", "parent", "age", "found")


def list_processes(options: argparse.Namespace) -> int:
    """Print a list of this user's processes, and return the exit status.

    Raises CommandError if there are none.
    """
    announced = _announced()
    if not announced:
        others = target.own_processes()
        now = [f"\nProcess {pid}: {target.what_can_be_done(pid)}" for pid in others[:_MOST]]
        if len(others) > _MOST:
            now.append(f"\nOlder processes with Python, not listed: {len(others) - _MOST}")
        raise CommandError(f"no process of this user is prepared: {HOW_TO_START}{''.join(now)}")
    listed = [_described(pid, announced[pid]) for pid in sorted(announced)]
    write_output(
        json.dumps({"processes": listed}, indent=2) if options.json else _table(listed),
        options.output,
    )
    return 0


def pid_of(instance: str) -> int:
    """Return the PID of the process whose ``service.instance.id`` is, or begins with, this.

    Raises CommandError if there is none, or several.

    Forked children have the id of their parent. The result is then the parent: its children are
    inspected with it.
    """
    ids = {pid: str(content.get("instance") or "") for pid, content in _announced().items()}
    its = {one for one in ids.values() if one.startswith(instance)}
    its = its & {instance} or its
    if len(its) > 1:
        names = ", ".join(printable(one, _LONGEST_ID) for one in sorted(its)[:_MOST])
        raise CommandError(f"{len(its)} of the service.instance.ids here begin so: {names}")
    found = {pid for pid, one in ids.items() if one in its}
    tops = sorted(pid for pid in found if not found.intersection(rendezvous.ancestors(pid)))
    if len(tops) == 1:
        return tops[0]
    if tops:
        pids = ", ".join(map(str, tops))
        raise CommandError(f"processes {pids} share the service.instance.id: use --pid N")
    raise CommandError(
        f"no process of this user on {socket.gethostname()} can be inspected that has the "
        f"service.instance.id {printable(instance, _LONGEST_ID)!r}: run this on the alert's "
        "host.name, in the same container; `gluellm-pools doctor` lists the processes here"
    )


def _announced() -> dict[int, dict[str, Any]]:
    if not hasattr(os, "geteuid"):
        raise CommandError("this needs signals, which this system does not have")
    try:
        return rendezvous.presences(rendezvous.Directory.open(make=False))
    except FileNotFoundError:
        return {}


def _described(pid: int, content: dict[str, Any]) -> dict[str, Any]:
    # The other process can be of another version.
    began = content.get("began")
    return {
        "service": content.get("service") or None,
        "instance": content.get("instance"),
        "pid": pid,
        "name": signals.status_of(pid).get("Name"),
        "parent": rendezvous.parent_of(pid),
        "age": max(0.0, time.time() - began) if isinstance(began, (int, float)) else None,
        "findings": content.get("findings"),
        "judges": "findings" in content,
        "handler_replaced_by": content.get("handler_replaced_by"),
    }


def _table(listed: list[dict[str, Any]]) -> str:
    rows = [_HEAD]
    for one in listed:
        service = one["service"] or f"({one['name'] or 'no name'})"
        age = "-" if one["age"] is None else age_text(one["age"])
        instance = printable(one["instance"] or "-", _LONGEST_ID)
        numbers = str(one["pid"]), str(one["parent"])
        rows.append((printable(service), instance, *numbers, age, _found(one)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    first = listed[0]["pid"]
    return "\n".join(
        [*lines, "", f"To inspect one and its child processes: gluellm-pools doctor --pid {first}"]
    )


def _found(one: dict[str, Any]) -> str:
    """Return what the process found in its last judgement, or why there is no report."""
    if one["handler_replaced_by"]:
        return f"gives no report: its handler is now {printable(one['handler_replaced_by'], 120)}"
    if not isinstance(one["findings"], list):
        return "not judged yet" if one["judges"] else "not judged"
    return printable("; ".join(map(str, one["findings"])), 200) or "nothing"

"""``doctor --attach PID``: the report."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections import Counter
from typing import Any

from gluellm_diagnosis.report import report_on
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot
from opentelemetry.instrumentation.gluellm.text import call_site_text, counted, wrapped

from ..arguments import CommandError, write_output
from ..doctor.files import print_report, rule_failed, save
from ..text import printable_lines, seconds
from . import stacks, target
from .listed import listed_snapshot, with_unread
from .sending import STARTS_WITHIN, NotRunError, Program

_BETWEEN = 1.0
"""Seconds between two looks: what is the same in both is a wait, not a step."""
_UNKNOWN = (
    "Not known from outside: limits, ages, and who holds the connections. Run this again in a "
    "minute: what is still listed hangs."
)
_READERS = (stacks.BYTES, stacks.SOCKET, stacks.OTHER)
"""Waits in which a task or thread may be reading an answer."""
_PROGRAM = (
    "process {pid}: a thread of it will run a small program of this command for at most 2 s, which "
    "reads its connection pools and changes nothing. To start it, a thread may be stopped for some "
    "milliseconds, and its wait for a socket interrupted, as by a signal that is handled."
)
_NO_HISTORY = (
    "Not known without a history: ages, and where the requests began that hold connections. "
    "--for 60 observes what begins from now on."
)
_OBSERVES = (
    "Then the process is instrumented for {period}, and everything is restored. The modules of "
    "this package stay loaded there: about 10 MB."
)


def attach(options: argparse.Namespace) -> int:
    """Print what a process waits for and what its pools list, and return the exit status."""
    pid = options.attach
    target.check(pid)
    with target.refusals_explained(pid):
        first = stacks.look(pid)
        time.sleep(_BETWEEN)
        second = stacks.look(pid)
    waits = _waits(first, second)
    head = {"pid": pid, "python": ".".join(map(str, target.python_of(pid) or ())), "waits": waits}
    snapshot: Snapshot | None = None
    if _agrees(options):
        snapshot, notes = _inside(pid, options.period or 0.0)
        if snapshot is not None and options.period:
            with contextlib.suppress(CommandError), target.refusals_explained(pid):
                second = stacks.look(pid)
        if snapshot is not None:
            readers = sum(1 for wait in second.values() if wait.state in _READERS)
            snapshot = with_unread(snapshot, readers)
    elif options.save or options.period:
        raise CommandError("--save and --for need the program to run in the process: give --yes")
    else:
        notes = [f"To see its pools as well: gluellm-pools doctor --attach {pid} --yes"]
    listed = "\n".join(_lines(waits))
    if snapshot is None:
        title = f"process {pid}, Python {head['python']}: read from outside twice in a second; "
        text = "\n".join([f"{title}unchanged", listed, "", _UNKNOWN, *notes])
        output = json.dumps({**head, "notes": notes}, indent=2) if options.json else text
        write_output(output if options.json else printable_lines(output), options.output)
        return int(any(one["what"] in (stacks.CONNECTION, stacks.LOOP) for one in waits))
    report = report_on(snapshot, None, failed=rule_failed).to_dict()
    if options.save:
        save(report["snapshot"], options.save)
    waiting = f"what its tasks and threads wait for:\n{listed}"
    text = "\n\n".join([report["text"], waiting, *notes])
    return print_report({**head, "notes": notes, **report, "text": text}, options)


def _agrees(options: argparse.Namespace) -> bool:
    """State what will be done, and return whether the user agrees to it."""
    what = _PROGRAM.format(pid=options.attach)
    if options.period:
        what += f" {_OBSERVES.format(period=seconds(options.period))}"
    if not options.yes and not sys.stdin.isatty():
        return False
    print(*wrapped(what), sep="\n", file=sys.stderr)
    if options.yes:
        return True
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _inside(pid: int, period: float) -> tuple[Snapshot | None, list[str]]:
    """Return the snapshot that a program in the process has written, and notes on it."""
    try:
        with Program(pid, period) as program:
            found = program.look()
            if "error" in found:
                raise CommandError(f"the program failed in process {pid}: {found['error']}")
            snapshot, notes = listed_snapshot(found, pid), [*_notes(found), _NO_HISTORY]
            if period:
                print(f"process {pid}: observing it for {seconds(period)}", file=sys.stderr)
                end = program.end()
                if "error" not in end:
                    return Snapshot.from_dict(end["snapshot"]), _notes(found)
                notes[-1] = f"It was not instrumented: {end['error']}. This is what its pools list."
    except (KeyError, TypeError, ValueError) as error:  # of another version
        what = f"process {pid} gave an answer that can't be used: {type(error).__name__}"
        raise CommandError(what) from None
    except NotRunError as error:
        blocks = (
            "no thread reads a socket, and its main thread is in C code, such as an idle uvloop"
        )
        with contextlib.suppress(CommandError), target.refusals_explained(pid):
            where = stacks.main_thread(pid)
            blocks += f", called at {call_site_text(where)}" if where else ""
        return None, [
            (
                f"Its pools are not known: it did not run the program within {STARTS_WITHIN:g} s, "
                f"since {blocks}, or since an audit hook refused it. Try again. {error} stays: "
                "it does nothing any more, and can be deleted once the process has run Python code."
            )
        ]
    return snapshot, notes


def _notes(found: dict[str, Any]) -> list[str]:
    notes = []
    if found["instrumented"]:
        notes.append("It is instrumented already: doctor --pid shows more, if it has a signal.")
    if found["stopped"]:
        notes.append("It has so many objects that not all were searched: pools can be missing.")
    if found["failed"]:
        notes.append(f"{counted(found['failed'], 'pool')} could not be read.")
    return notes


def _waits(first: stacks.Waits, second: stacks.Waits) -> list[dict[str, Any]]:
    same = Counter(wait for key, wait in second.items() if key in first)
    return [
        {
            "what": wait.state,
            "kind": "task" if wait.task else "thread",
            "count": count,
            "where": wait.where or None,
        }
        for wait, count in same.most_common()
    ]


def _lines(waits: list[dict[str, Any]]) -> list[str]:
    lines = []
    for one in waits:
        where = f" at {call_site_text(one['where'])}" if one["where"] else ""
        kind = counted(one["count"], one["kind"])
        if one["what"] == stacks.LOOP:
            lines.append(f"  {one['what']}{where}: all its requests stop")
        else:
            lines.append(
                f"  {kind} {'waits' if one['count'] == 1 else 'wait'} for {one['what']}{where}"
            )
    return lines or ["  no request, lock or blocked loop was in both looks"]

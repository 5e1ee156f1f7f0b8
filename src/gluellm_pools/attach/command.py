"""``doctor --attach PID``: the report."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
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
    "process {pid}: a new thread in it will run a small program of this command for at most 2 s, "
    "which reads its connection pools and stacks and changes nothing. To start it, a thread may be "
    "stopped for some milliseconds, and its wait for a socket interrupted, as by a signal that is "
    "handled. Its files are put in {directory}, and removed once it has run."
)
_NO_HISTORY = (
    "Not known without a history: ages, and where the requests began that hold connections. "
    "--for 60 observes what begins from now on."
)
_HOLDERS = "Unread answers may be held by functions that are suspended at:"
_NO_HOLDER = (
    "Who holds the unread answers is not known: a list, an attribute or a global variable. The "
    "lines above are of those that wait."
)
_BLOCKED, _NOTHING = "What follows can be the result of this:", "no problem found"
_OBSERVES = (
    "Then the process is instrumented for {period}, and everything is restored. The modules of "
    "this package stay loaded there: about 10 MB."
)

_Found = tuple[Snapshot | None, dict[int, list[stacks.Frame]], list[str], list[str]]


def attach(options: argparse.Namespace) -> int:
    """Print what a process waits for and what its pools list, and return the exit status."""
    pid = options.attach
    target.check(pid)
    with target.refusals_explained(pid):
        first = stacks.look(pid)
        time.sleep(_BETWEEN)
        second = stacks.look(pid)
    head: dict[str, Any] = {"pid": pid, "python": ".".join(map(str, target.python_of(pid) or ()))}
    snapshot: Snapshot | None = None
    if _agrees(options):
        snapshot, whole, suspended, notes = _inside(pid, options.period or 0.0)
        if snapshot is not None:
            if options.period:
                with contextlib.suppress(CommandError), target.refusals_explained(pid):
                    second = stacks.look(pid)
            second = stacks.with_whole_stacks(second, whole, pid)
            readers = sum(1 for wait in second.values() if wait.state in _READERS)
            snapshot = with_unread(snapshot, readers)
            notes[:0] = _holders(snapshot, suspended)
    elif options.save or options.period:
        raise CommandError("--save and --for need the program to run in the process: give --yes")
    else:
        notes = [f"To see its pools as well: gluellm-pools doctor --attach {pid} --yes"]
    head["waits"] = waits = _waits(first, second)
    listed = "\n".join(_lines(waits))
    if snapshot is None:
        title = f"process {pid}, Python {head['python']}: in two looks from outside, 1 s apart"
        text = "\n".join([title, listed, "", _UNKNOWN, *notes])
        output = json.dumps({**head, "notes": notes}, indent=2) if options.json else text
        write_output(output if options.json else printable_lines(output), options.output)
        return int(any(one["what"] in (stacks.CONNECTION, stacks.LOOP) for one in waits))
    report = report_on(snapshot, None, failed=rule_failed).to_dict()
    if options.save:
        save(report["snapshot"], options.save)
    blocked = [line for line in listed.splitlines() if stacks.LOOP in line]
    if blocked:
        report["text"] = "\n".join([_BLOCKED, *blocked, "", report["text"]])
    elif not report["findings"]:
        report["text"] = report["text"].replace(_NOTHING, f"{_NOTHING} in its pools", 1)
    waiting = f"In the first and in the last look at its tasks and threads:\n{listed}"
    text = "\n\n".join([report["text"], waiting, *notes])
    status = print_report({**head, "notes": notes, **report, "text": text}, options)
    return max(status, int(bool(blocked)))


def _agrees(options: argparse.Namespace) -> bool:
    """State what will be done, and return whether the user agrees to it."""
    what = _PROGRAM.format(pid=options.attach, directory=tempfile.gettempdir())
    if options.period:
        what += f" {_OBSERVES.format(period=seconds(options.period))}"
    if not options.yes and not sys.stdin.isatty():
        return False
    print(*wrapped(what), sep="\n", file=sys.stderr)
    if options.yes:
        return True
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _holders(snapshot: Snapshot, suspended: list[str]) -> list[str]:
    """Return where unread answers may be held."""
    held = {one.held_before for pool in snapshot.pools for one in pool.connections}
    if "unread" not in held:
        return []
    lines = [f"\n  {call_site_text(where)}" for where in suspended]
    return [f"{_HOLDERS}{''.join(lines)}" if lines else _NO_HOLDER]


def _inside(pid: int, period: float) -> _Found:
    """Return what a program in the process has found, and notes on it."""
    try:
        with Program(pid, period) as program:
            found = program.look()
            if "error" in found:
                raise CommandError(f"the program failed in process {pid}: {found['error']}")
            snapshot, notes = listed_snapshot(found, pid), [*_notes(found), _NO_HISTORY]
            threads, suspended = _stacks(found), list(map(str, found["suspended"]))
            if period:
                print(f"process {pid}: observing it for {seconds(period)}", file=sys.stderr)
                start = time.monotonic()
                end: dict[str, Any] = {}
                try:
                    end = program.end()
                except target.EndedError:
                    ran = f"{seconds(time.monotonic() - start)} of {seconds(period)}"
                    notes[-1] = f"Process {pid} ended after {ran}. The report is of before that."
                if "error" in end:
                    notes[-1] = f"Not instrumented: {end['error']}. This is what its pools list."
                elif end:
                    snapshot, threads, notes = (
                        Snapshot.from_dict(end["snapshot"]),
                        _stacks(end),
                        _notes(found),
                    )
                    began = [pool.requests_entered for pool in snapshot.pools]
                    began += [one.connections_opened for one in snapshot.totals]
                    notes += [] if any(began) else ["No request began meanwhile."]
    except (KeyError, TypeError, ValueError) as error:  # of another version
        what = f"process {pid} gave an answer that can't be used: {type(error).__name__}"
        raise CommandError(what) from None
    except NotRunError as error:
        blocks = "No thread reads a socket, and its main thread is in C code (lock, idle uvloop)"
        with contextlib.suppress(CommandError), target.refusals_explained(pid):
            where = stacks.main_thread(pid)
            blocks += f", called at {call_site_text(where)}" if where else ""
        why = (
            f"Its pools are not known: it did not run the program within {STARTS_WITHIN:g} s. "
            f"{blocks}; or an audit hook refused the program. py-spy dump --pid {pid} has all "
            f"stacks. {error} stays: it does nothing any more, and can be deleted once the process "
            "has run Python code."
        )
        return None, {}, [], [why]
    return snapshot, threads, suspended, notes


def _stacks(answer: dict[str, Any]) -> dict[int, list[stacks.Frame]]:
    return {
        int(number): [stacks.Frame(str(file), int(line), str(name)) for file, line, name in frames]
        for number, frames in answer["threads"]
    }


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
        if wait.where or wait.state != stacks.ANOTHER  # a library's idle thread
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
    return lines or ["  no wait that can be read, and no blocked loop"]

"""``doctor --pid``: request reports from a running process and its descendants."""

from __future__ import annotations

import argparse
import contextlib
import json
import operator
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from opentelemetry.instrumentation.gluellm.diagnosis.signal_report.rendezvous import (
    UnsuitableFileError,
)
from opentelemetry.instrumentation.gluellm.diagnosis.snapshot import Snapshot
from opentelemetry.instrumentation.gluellm.text import counted

from ..arguments import CommandError, write_output
from ..text import printable_lines, seconds
from .files import save
from .inquiry import FINE, Inquiry
from .outlook import Outlook
from .process import descendants_of

_COMMAND = "gluellm-pools doctor"
_POLL = 0.02


def inspect(options: argparse.Namespace, timeout: float) -> int:
    """Print the reports of a process and its descendants, and return the exit status.

    Servers such as gunicorn make calls in child processes only, and some replace the signal handler
    of the parent. ``timeout`` is how long to wait for the answers, in seconds. Raises CommandError.
    """
    if not hasattr(os, "geteuid"):
        raise CommandError("--pid needs signals, which this system does not have")
    with contextlib.ExitStack() as closing:
        inquiries = [Inquiry(pid) for pid in (options.pid, *descendants_of(options.pid))]
        for one in inquiries:
            closing.callback(one.close)
        _ask(inquiries, timeout)
        if options.period:
            _ask_again(inquiries, timeout, options.period)
    for one in inquiries:
        one.attempt(partial(_add_outlook, one.report, Outlook.of(options)))
    answered = sorted((one for one in inquiries if one.error is None), key=lambda one: one.rank)
    failed = [(one.pid, one.error) for one in inquiries if one.error is not None]
    if not answered:
        raise failed[0][1]
    if options.save:
        _save(answered, options)
    if len(inquiries) == 1:
        content, text = answered[0].report, answered[0].report["text"]
    else:
        errors = [{"pid": pid, "error": error.reason} for pid, error in failed]
        content = {"processes": [*errors, *({"pid": one.pid, **one.report} for one in answered)]}
        reports = [f"process {one.pid}:\n{one.report['text']}" for one in answered]
        text = "\n\n".join([*(error.reason for _, error in failed), *reports])
    write_output(
        json.dumps(content, indent=2) if options.json else printable_lines(text), options.output
    )
    return int(answered[0].rank < FINE)


def _add_outlook(report: dict[str, Any], outlook: Outlook) -> None:
    """Add the answers to ``--what-if`` and ``--workers``. Raises UnsuitableFileError."""
    if not any(outlook) or report["snapshot"] is None:
        return
    try:
        outlook.add_to(report, Snapshot.from_dict(report["snapshot"]))
    except Exception as error:  # the other process can be of another version
        raise UnsuitableFileError("its snapshot can't be replayed") from error


def _save(answered: Sequence[Inquiry], options: argparse.Namespace) -> None:
    """Save the snapshot of the process with the worst finding. Raises CommandError."""
    snapshots = [one.report["snapshot"] for one in answered if one.report["snapshot"]]
    if not snapshots:
        print(f"{_COMMAND}: there is no snapshot to save", file=sys.stderr)
        return
    try:
        Snapshot.from_dict(snapshots[0])
        save(snapshots[0], options.save)
    except ValueError as error:
        raise CommandError(f"the snapshot can't be saved: {error}") from None
    except OSError as error:
        raise CommandError(f"can't write {str(options.save)!r}: {error.strerror}") from None


def _ask(inquiries: Sequence[Inquiry], timeout: float, *, compare: bool = False) -> None:
    """Ask all processes at once."""
    for one in inquiries:
        one.attempt(partial(one.ask, compare=compare))
    ends = time.monotonic() + timeout
    while (waiting := [one for one in inquiries if one.waits]) and time.monotonic() < ends:
        for one in waiting:
            one.attempt(one.poll)
        time.sleep(_POLL)
    for one in waiting:
        one.give_up(timeout)


def _ask_again(inquiries: Sequence[Inquiry], timeout: float, period: float) -> None:
    """Ask those that answered again after a period, in seconds, about that time."""
    living = [one for one in inquiries if one.report.get("snapshot") is not None]
    if not living:
        return
    who = ", ".join(str(one.pid) for one in living)
    noun = "process" if len(living) == 1 else "processes"
    print(f"{_COMMAND}: watching {noun} {who} for {period:g} s", file=sys.stderr)
    ends = time.monotonic() + period
    for one in living:
        one.attempt(partial(one.stay, ends))
    before = [one.report for one in living]
    _ask(living, timeout, compare=True)
    for one, earlier in zip(living, before, strict=True):
        # The other process can be of another version.
        with contextlib.suppress(Exception):
            requests, timeouts = map(operator.sub, _counts(one.report), _counts(earlier))
            during = f"{counted(requests, 'request')} began, {timeouts} ended in a pool timeout"
            one.report["text"] = f"in these {seconds(period)}: {during}\n\n{one.report['text']}"


def _counts(report: dict[str, Any]) -> tuple[int, int]:
    """Return the requests that entered a pool and the pool timeouts since ``instrument()``."""
    origins = [one for totals in report["snapshot"]["totals"] for one in totals["origins"]]
    timeouts = sum(origin["timeouts"].get("pool", 0) for origin in origins)
    return sum(origin["requests_entered"] for origin in origins), timeouts

"""``doctor --pid``: judge the snapshots of a running process and its descendants."""

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

from opentelemetry.instrumentation.gluellm.snapshots.on_signal.rendezvous import UnsuitableFileError
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot
from opentelemetry.instrumentation.gluellm.text import counted

from ..arguments import CommandError, write_output
from ..text import printable_lines, seconds
from .files import save
from .inquiry import FINE, Inquiry
from .outlook import Outlook
from .process import descendants_of

_COMMAND = "gluellm-pools doctor"
_POLL = 0.02
_IN_FULL = 3
"""Reports that are printed, if there are no more."""


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
        one.attempt(partial(_add_outlook, one, Outlook.of(options)))
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
        text = "\n\n".join([*(error.reason for _, error in failed), *_texts(answered)])
    write_output(
        json.dumps(content, indent=2) if options.json else printable_lines(text), options.output
    )
    return int(answered[0].rank < FINE)


def _texts(answered: Sequence[Inquiry]) -> list[str]:
    """Return the reports. Of many, a line on each, the worst first, and the report on the worst."""
    reports = [f"process {one.pid}:\n{one.report['text']}" for one in answered]
    if len(reports) <= _IN_FULL:
        return reports
    lines = "\n".join(f"process {one.pid}: {one.summary}" for one in answered)
    return [lines, f"The worst, {reports[0]}", f"To inspect another one: {_COMMAND} --pid N"]


def _add_outlook(one: Inquiry, outlook: Outlook) -> None:
    """Add the answers to ``--what-if`` and ``--workers``. Raises UnsuitableFileError."""
    if one.snapshot is None:
        return
    try:
        outlook.add_to(one.report, one.snapshot)
    except Exception as error:  # the other process can be of another version
        raise UnsuitableFileError("its snapshot can't be replayed") from error


def _save(answered: Sequence[Inquiry], options: argparse.Namespace) -> None:
    """Save the snapshot of the process with the worst finding. Raises CommandError."""
    snapshots = [one.report["snapshot"] for one in answered if one.snapshot is not None]
    if not snapshots:
        print(f"{_COMMAND}: there is no snapshot to save", file=sys.stderr)
        return
    try:
        save(snapshots[0], options.save)
    except OSError as error:
        raise CommandError(f"can't write {str(options.save)!r}: {error.strerror}") from None


def _ask(inquiries: Sequence[Inquiry], timeout: float) -> None:
    """Ask all processes at once."""
    for one in inquiries:
        one.attempt(one.ask)
    ends = time.monotonic() + timeout
    while (waiting := [one for one in inquiries if one.waits]) and time.monotonic() < ends:
        for one in waiting:
            one.attempt(one.poll)
        time.sleep(_POLL)
    for one in waiting:
        one.give_up(timeout)


def _ask_again(inquiries: Sequence[Inquiry], timeout: float, period: float) -> None:
    """Ask those that answered again after a period, in seconds, about that time."""
    living = [(one, one.snapshot) for one in inquiries if one.snapshot is not None]
    if not living:
        return
    who = ", ".join(str(one.pid) for one, _ in living)
    noun = "process" if len(living) == 1 else "processes"
    print(f"{_COMMAND}: watching {noun} {who} for {period:g} s", file=sys.stderr)
    ends = time.monotonic() + period
    for one, _ in living:
        one.attempt(partial(one.stay, ends))
    _ask([one for one, _ in living], timeout)
    for one, before in living:
        if one.snapshot is not None:
            requests, timeouts = map(operator.sub, _counts(one.snapshot), _counts(before))
            during = f"{counted(requests, 'request')} began, {timeouts} ended in a pool timeout"
            one.report["text"] = f"in these {seconds(period)}: {during}\n\n{one.report['text']}"


def _counts(snapshot: Snapshot) -> tuple[int, int]:
    """Return the requests that entered a pool and the pool timeouts since ``instrument()``."""
    origins = [one for totals in snapshot.totals for one in totals.origins]
    timeouts = sum(int(origin.timeouts.get("pool", 0)) for origin in origins)
    return sum(origin.requests_entered for origin in origins), timeouts

"""``doctor --pid``: request a report from a running process.

No signal is sent before it is certain that the process handles it: its default action ends a
process.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import operator
import os
import sys
import time
from typing import Any, cast

from opentelemetry.instrumentation.gluellm.diagnosis.findings import Finding, Kind, Severity
from opentelemetry.instrumentation.gluellm.diagnosis.signal_report.rendezvous import (
    ReportRequest,
    UnsuitableFileError,
)
from opentelemetry.instrumentation.gluellm.diagnosis.text import findings_text
from opentelemetry.instrumentation.gluellm.text import counted

from ..arguments import CommandError, write_output
from ..text import printable, printable_lines, seconds
from .outlook import Outlook, rebuilt
from .process import InspectionError, TargetProcess

_COMMAND = "gluellm-pools doctor"
_POLL = 0.02
_RESEND_AFTER = 2.0
"""Seconds without an answer after which the signal is sent again. One that arrives just before a
system call is handled only after that call, which the next signal interrupts."""


def inspect(options: argparse.Namespace, timeout: float) -> int:
    """Print the report of a process and return the exit status.

    ``timeout`` is how long to wait for an answer, in seconds. Raises CommandError.
    """
    if not hasattr(os, "geteuid"):
        raise CommandError("--pid needs signals, which this system does not have")
    pid, outlook = options.pid, Outlook.of(options)
    try:
        report = _report(pid, timeout, options.period or 0.0)
        if any(outlook) and report["snapshot"] is not None:
            _add_outlook(report, outlook)
        text = json.dumps(report, indent=2) if options.json else printable_lines(report["text"])
    except (UnsuitableFileError, RecursionError) as error:
        raise CommandError(f"process {pid} gave an answer that can't be used: {error}") from None
    except OSError as error:
        raise CommandError(f"process {pid} can't be inspected: {error}") from None
    write_output(text, options.output)
    severities = [one.get("severity") for one in report["findings"] if isinstance(one, dict)]
    return int(Severity.WARNING in severities or Severity.ERROR in severities)


def _add_outlook(report: dict[str, Any], outlook: Outlook) -> None:
    """Add the answers to ``--what-if`` and ``--workers``. Raises UnsuitableFileError."""
    try:
        text, content = outlook.on(rebuilt(report["snapshot"]))
    except Exception as error:  # the other process can be of another version
        raise UnsuitableFileError("its snapshot can't be replayed") from error
    report["findings"] += content.pop("findings", [])
    report |= {**content, "text": f"{report['text']}\n\n{text}"}


def _report(pid: int, timeout: float, period: float) -> dict[str, Any]:
    """Return the report of a process. With a period in seconds, it covers that time, from now on.

    Raises InspectionError, UnsuitableFileError, OSError.
    """
    with contextlib.closing(TargetProcess(pid)) as process:
        report = _ask(process, timeout)
        if period and report["snapshot"] is not None:
            print(f"{_COMMAND}: watching process {pid} for {period:g} s", file=sys.stderr)
            if process.ends_within(period) or not process.listens():
                raise InspectionError(f"process {pid} has ended, or was uninstrumented")
            before, report = report, _ask(process, timeout, compare=True)
            # The other process can be of another version.
            with contextlib.suppress(Exception):
                requests, timeouts = map(operator.sub, _counts(report), _counts(before))
                during = f"{counted(requests, 'request')} began, {timeouts} ended in a pool timeout"
                report["text"] = f"in these {seconds(period)}: {during}\n\n{report['text']}"
    return report


def _counts(report: dict[str, Any]) -> tuple[int, int]:
    """Return the requests that entered a pool and the pool timeouts since ``instrument()``."""
    origins = [one for totals in report["snapshot"]["totals"] for one in totals["origins"]]
    timeouts = sum(origin["timeouts"].get("pool", 0) for origin in origins)
    return sum(origin["requests_entered"] for origin in origins), timeouts


def _ask(process: TargetProcess, timeout: float, *, compare: bool = False) -> dict[str, Any]:
    """Return the process's report, or one that says that it gave none.

    With ``compare``, the report is on the time since the one before.
    """
    process.signal_number()
    request = ReportRequest(process.directory, process.pid)
    try:
        request.write(compare=compare)
        # Checked again now that the process can see the request: from here on it keeps its handler
        # as long as it has its entry, and a process that gave it up before has no entry any more.
        process.send(process.signal_number())
        answer = _wait(process, request, timeout)
    finally:
        request.close()
    if answer is None:
        finding = _no_answer(process, timeout)
        return {"snapshot": None, "findings": [finding.to_dict()], "text": findings_text([finding])}
    # The other process can be of another version.
    answer = answer if isinstance(answer, dict) else {}
    if "error" in answer:
        error = printable(answer["error"])
        raise InspectionError(f"process {process.pid} failed to take its snapshot, with {error}")
    if not isinstance(answer.get("text"), str) or not isinstance(answer.get("findings"), list):
        raise UnsuitableFileError("it is no report")
    return {"snapshot": {}, **answer}


def _wait(process: TargetProcess, request: ReportRequest, timeout: float) -> dict[str, Any] | None:
    """Return the answer; None if the process gives none in time."""
    began = time.monotonic()
    resend_at = began + _RESEND_AFTER
    while (now := time.monotonic()) < began + timeout:
        # In this order: the process writes an answer before it removes the request, and removes
        # its entry before the request when it stops listening.
        waits = request.waits
        answer = request.answer()
        if answer is not None:
            return answer
        if not process.listens():
            raise InspectionError(
                f"process {process.pid} ended, or was uninstrumented, before it answered"
            )
        if not waits:
            raise InspectionError(
                f"process {process.pid} could not write its answer to {process.directory.path}: is "
                "it full? The report is in the log of the process"
            )
        if now > resend_at:
            process.send(process.signal_number())
            resend_at = now + _RESEND_AFTER
        time.sleep(_POLL)
    return None


def _no_answer(process: TargetProcess, timeout: float) -> Finding:
    pid = process.pid
    used, limit = process.descriptors() or (0, 1)
    observed = f"Process {pid} did not answer within {timeout:g} s."
    explanation = (
        "Native code blocks its main thread or the interpreter, so all requests on the event loop "
        "stop. Or the program replaced the signal's handler, or blocks the signal."
    )
    advice = (
        f"Find the line from outside: py-spy dump --native --pid {pid}, or gdb. Move that call to "
        "a process, or to a thread if it releases the interpreter: asyncio.to_thread()."
    )
    if used >= limit:
        observed = f"Process {pid} has no free file descriptor to answer with: {used} are open."
        explanation = "New connections and files fail in it with 'Too many open files'."
        advice = (
            f"See what it keeps open: ls -l /proc/{pid}/fd. Raise the limit meanwhile: "
            f"prlimit --pid {pid} --nofile={4 * limit}."
        )
    return Finding(
        kind=cast(Kind, "no_answer"),  # diagnose() has no such finding
        severity=Severity.ERROR,
        observed=observed,
        explanation=explanation,
        advice=advice,
    )

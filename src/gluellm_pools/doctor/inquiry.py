"""Requests for snapshots to one process, and the reports on them.

No signal is sent before it is certain that the process handles it: its default action ends a
process.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any, cast

from gluellm_diagnosis.findings import Finding, Kind, Severity, findings_text
from gluellm_diagnosis.report import report_on
from opentelemetry.instrumentation.gluellm.snapshots.on_signal.rendezvous import (
    ReportRequest,
    UnsuitableFileError,
)
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot

from ..text import printable
from .files import rule_failed
from .process import InspectionError, TargetProcess

_RESEND_AFTER = 2.0
"""Seconds without an answer after which the signal is sent again. One that arrives just before a
system call is handled only after that call, which the next signal interrupts."""
_SEVERITIES = list(Severity)
FINE = _SEVERITIES.index(Severity.INFO)


class Inquiry:
    """Asks one process, any number of times. Does nothing any more after a failure."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.report: dict[str, Any] = {}
        """Report on the process's last snapshot; empty before the first answer."""
        self.snapshot: Snapshot | None = None
        """Last snapshot of the process; None if it did not answer."""
        self.error: InspectionError | None = None
        """What failed."""
        self.waits = False
        """Whether the process has been asked and has not answered."""
        self._process: TargetProcess
        self._request: ReportRequest
        self._resend_at = 0.0
        self._closing = contextlib.ExitStack()
        self.attempt(self._open)

    def _open(self) -> None:
        self._process = self._closing.enter_context(contextlib.closing(TargetProcess(self.pid)))

    def close(self) -> None:
        self._closing.close()

    def attempt(self, step: Callable[[], None]) -> None:
        """Run a step, unless one failed before."""
        if self.error is not None:
            return
        try:
            step()
        except InspectionError as error:
            self.error = error
        except UnsuitableFileError as error:
            what = f"process {self.pid} gave an answer that can't be used: {error}"
            self.error = InspectionError(what)
        except OSError as error:
            self.error = InspectionError(f"process {self.pid} can't be inspected: {error}")
        self.waits = self.waits and self.error is None

    def ask(self) -> None:
        """Ask for a snapshot. Raises InspectionError, OSError."""
        process = self._process
        process.signal_number()
        self._request = ReportRequest(process.directory, self.pid)
        self._closing.callback(self._request.close)
        self._request.write()
        self.waits = True
        # Checked again now that the process can see the request: from here on it keeps its handler
        # as long as it has its entry, and a process that gave it up before has no entry any more.
        process.send(process.signal_number())
        self._resend_at = time.monotonic() + _RESEND_AFTER

    def poll(self) -> None:
        """Take the answer if there is one. Raises InspectionError, UnsuitableFileError, OSError."""
        process = self._process
        # In this order: the process writes an answer before it removes the request, and removes
        # its entry before the request when it stops listening.
        waits = self._request.waits
        answer = self._request.answer()
        if answer is not None:
            self.waits = False
            self._judge(answer)
        elif not process.listens():
            raise InspectionError(
                f"process {self.pid} ended, or was uninstrumented, before it answered"
            )
        elif not waits:
            raise InspectionError(
                f"process {self.pid} could not write its answer to {process.directory.path}: is it "
                "full? The snapshot is in the log of the process"
            )
        elif time.monotonic() > self._resend_at:
            process.send(process.signal_number())
            self._resend_at = time.monotonic() + _RESEND_AFTER

    def _judge(self, answer: dict[str, Any]) -> None:
        """Judge a snapshot, compared with the one before if there is one.

        Raises InspectionError, UnsuitableFileError.
        """
        if "error" in answer:
            error = printable(answer["error"])
            raise InspectionError(f"process {self.pid} failed to take its snapshot, with {error}")
        try:
            before, self.snapshot = self.snapshot, Snapshot.from_dict(answer)
            self.report = report_on(self.snapshot, before, failed=rule_failed).to_dict()
        except ValueError as error:
            raise UnsuitableFileError(str(error)) from None
        except Exception as error:  # numbers and texts that no process of this version has
            raise UnsuitableFileError(f"it can't be judged: {type(error).__name__}") from None

    def give_up(self, timeout: float) -> None:
        """Make a report of the missing answer."""
        self.waits, self.snapshot = False, None
        finding = _no_answer(self._process, timeout)
        text = findings_text([finding])
        self.report = {"snapshot": None, "findings": [finding.to_dict()], "text": text}

    def stay(self, until: float) -> None:
        """Wait until this time. Raises InspectionError if the process ends meanwhile."""
        left = max(0.0, until - time.monotonic())
        if self._process.ends_within(left) or not self._process.listens():
            raise InspectionError(f"process {self.pid} has ended, or was uninstrumented")

    @property
    def summary(self) -> str:
        """The first finding of its report, unless all are INFO."""
        if self.rank == FINE:
            return "no problem found"
        first = self.report["findings"][0]
        where = f" in {first['pool']}" if first["pool"] else ""
        return f"{first['severity'].upper()}: {first['kind'].replace('_', ' ')}{where}"

    @property
    def rank(self) -> int:
        """Severity of the worst finding, the most severe first; `FINE` without any above INFO."""
        found = [one["severity"] for one in self.report["findings"]]
        return next((rank for rank, one in enumerate(_SEVERITIES[:FINE]) if one in found), FINE)


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

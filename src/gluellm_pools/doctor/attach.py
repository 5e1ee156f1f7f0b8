"""``doctor --pid``: asks a running process for its report.

Nothing is sent before it is sure that the process answers: by default these signals kill.
"""

from __future__ import annotations

import json
import os
import textwrap
import time
from pathlib import Path
from typing import Any

from opentelemetry.instrumentation.gluellm.diagnosis.findings import Severity
from opentelemetry.instrumentation.gluellm.diagnosis.signal_report.rendezvous import (
    PROTOCOL,
    Directory,
    MissingDirectoryError,
    Request,
    UnsuitableFileError,
    UnusableDirectoryError,
    presence_of,
)
from opentelemetry.instrumentation.gluellm.diagnosis.signal_report.signals import (
    is_caught,
    signal_numbers,
    status_of,
)

from ..arguments import EXIT_USAGE, written
from ..text import printable, printable_lines
from .asked import AskedProcess, CannotAskError, ended_by_signals
from .refusal import refuse

_POLL = 0.02
_AGAIN = 2.0
"""Seconds without an answer, after which the signal is sent again."""
_WIDTH = 96
_TROUBLE = (Severity.WARNING.value, Severity.ERROR.value)
_START_IT = (
    'start it with instrument(snapshot_signal="SIGUSR2"), or with '
    "OTEL_PYTHON_GLUELLM_SNAPSHOT_SIGNAL=SIGUSR2 in its environment"
)


def attach(pid: int, timeout: float, *, as_json: bool) -> int:
    """Ask the process, wait ``timeout`` seconds at most, print its answer; the exit status."""
    try:
        with ended_by_signals():
            answer = _ask(pid, timeout)
        if answer is None:
            silent = _no_answer(pid, timeout)
            answer = {"snapshot": None, "findings": [silent], "text": _in_words(silent)}
        elif "error" in answer:
            error = printable(answer["error"])
            raise CannotAskError(f"process {pid} failed to take its snapshot, with {error}")
        told, troubled = _told(pid, answer, as_json=as_json)
    except CannotAskError as error:
        return refuse(printable_lines(error))
    if not written("gluellm-pools doctor", told):
        return EXIT_USAGE
    return 1 if troubled else 0


def _told(pid: int, answer: dict[str, Any], *, as_json: bool) -> tuple[str, bool]:
    """What to print, and whether there is trouble. Raises CannotAskError.

    Another process wrote the answer, which may be of another version.
    """
    text, findings = answer.get("text"), answer.get("findings")
    if not isinstance(text, str) or not isinstance(findings, list):
        raise CannotAskError(_unfit(pid, "it is no report"))
    severities = [one.get("severity") if isinstance(one, dict) else None for one in findings]
    troubled = any(severity in _TROUBLE for severity in severities)
    if not as_json:
        return printable_lines(text), troubled
    try:
        return json.dumps(answer, indent=2), troubled
    except RecursionError:
        raise CannotAskError(_unfit(pid, "it is nested too deeply")) from None


def _unfit(pid: int, why: str) -> str:
    return f"process {pid} gave an answer that can't be used: {why}"


def _ask(pid: int, timeout: float) -> dict[str, Any] | None:
    """The process's answer; None when it gave none. Raises CannotAskError."""
    if not hasattr(os, "geteuid"):
        raise CannotAskError("--pid needs signals, which this system has not")
    with AskedProcess(pid) as process:
        process.check_owner()
        try:
            directory = Directory.open(make=False)
        except MissingDirectoryError as error:
            raise CannotAskError(_answers_nothing(pid, str(error))) from None
        except UnusableDirectoryError as error:
            raise CannotAskError(f"processes can't be asked here: {error}") from None
        try:
            return _request(process, directory, timeout)
        except UnsuitableFileError as error:
            raise CannotAskError(_unfit(pid, str(error))) from None
        except OSError as error:
            raise CannotAskError(f"process {pid} can't be asked: {error}") from None
        finally:
            directory.close()


def _request(process: AskedProcess, directory: Directory, timeout: float) -> dict[str, Any] | None:
    """Its answer to a request. Raises CannotAskError, UnsuitableFileError, OSError."""
    _signal_of(directory, process.pid)
    request = Request(directory, process.pid)
    try:
        # Once more, now that the process can see the request: it keeps its handler as long as it
        # does, and one that gave it up before has taken its entry away.
        process.send(_signal_of(directory, process.pid))
        return _wait(request, directory, process, timeout)
    finally:
        request.close()


def _signal_of(directory: Directory, pid: int) -> int:
    """The signal that the process answers. Raises CannotAskError."""
    state = status_of(pid).get("State", "")
    if state.startswith("Z"):
        raise CannotAskError(f"process {pid} has ended, and waits for its parent to notice")
    presence = presence_of(directory, pid)
    if presence is None:
        raise CannotAskError(_answers_nothing(pid, f"nothing of it is in {directory.path}"))
    if presence.get("protocol") != PROTOCOL:
        raise CannotAskError(
            f"process {pid} runs another version of opentelemetry-instrumentation-gluellm: ask "
            f"with the gluellm-pools of its own environment"
        )
    number = presence.get("signal")
    if type(number) is not int or number not in signal_numbers().values():
        raise CannotAskError(f"process {pid} names no signal that may ask for a report")
    if is_caught(pid, number) is False:
        raise CannotAskError(
            f"process {pid} no longer catches signal {number}, which would kill it: {_START_IT}"
        )
    if state.startswith(("T", "t")):
        raise CannotAskError(f"process {pid} is stopped; let it go on with: kill -CONT {pid}")
    return number


def _answers_nothing(pid: int, where: str) -> str:
    return (
        f"process {pid}{_name_of(pid)} answers no signal of ours: {_START_IT}.\n"
        f"If it was, ask from the same container and with the same TMPDIR: {where}"
    )


def _name_of(pid: int) -> str:
    name = status_of(pid).get("Name")
    return f" ({name})" if name and name.isprintable() else ""


def _wait(
    request: Request, directory: Directory, process: AskedProcess, timeout: float
) -> dict[str, Any] | None:
    pid, began = process.pid, time.monotonic()
    deadline, again = began + timeout, began + _AGAIN
    while True:
        # In this order: an answer is there before its request is gone, and a process that gives up
        # removes its entry before the request.
        waits = request.waits
        answer = request.answer()
        if answer is not None:
            return answer
        if presence_of(directory, pid) is None:
            raise CannotAskError(f"process {pid} ended, or was uninstrumented, before it answered")
        if not waits:
            raise CannotAskError(
                f"process {pid} could not leave its answer in {directory.path}: is it full? "
                f"The report is in the log of the process"
            )
        now = time.monotonic()
        if now > deadline:
            return None
        if now > again:
            # A signal that came just before a system call is looked at after it, which another
            # one interrupts.
            process.send(_signal_of(directory, pid))
            again = now + _AGAIN
        time.sleep(_POLL)


def _no_answer(pid: int, timeout: float) -> dict[str, Any]:
    threads = len(list(Path(f"/proc/{pid}/task").glob("*")))
    of_them = f", one of its {threads} threads" if threads else ""
    return {
        "kind": "no_answer",
        "severity": Severity.ERROR.value,
        "pool": None,
        "observed": f"process {pid} did not answer within {timeout:g} s",
        "explanation": f"its main thread{of_them}, does not come back to Python, or no thread of "
        "it gets "
        "the interpreter: native code that does not end, or that never lets others run. An event "
        "loop in that thread stands still, and so do all of its requests. Else the program has "
        "given the signal to a handler of its own since, or blocks it",
        "advice": f"look where it is, from outside: py-spy dump --native --pid {pid}, or gdb; move "
        "that call to a process or a thread, as with asyncio.to_thread(), if it lets others run",
    }


def _in_words(finding: dict[str, Any]) -> str:
    lines = [f"{finding['severity'].upper()}: no answer"]
    for name in ("observed", "explanation", "advice"):
        before = f"  {name + ':':<7}"
        lines += textwrap.wrap(
            finding[name], _WIDTH, initial_indent=before, subsequent_indent=" " * len(before)
        )
    return "\n".join(lines)

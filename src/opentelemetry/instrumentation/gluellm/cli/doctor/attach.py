"""``doctor --pid``: asks a running process for its report.

Nothing is sent before it is sure that the process answers: by default these signals kill.
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

from ...diagnosis.findings import Severity
from ...diagnosis.rendezvous import (
    PROTOCOL,
    Directory,
    Request,
    UnusableDirectoryError,
    presence_of,
)
from ...diagnosis.signal_names import is_caught, status_of
from ..text import printable, printable_lines
from .refusal import refuse

_POLL = 0.02
_WIDTH = 96
_TROUBLE = (Severity.WARNING.value, Severity.ERROR.value)
_START_IT = (
    'start it with instrument(snapshot_signal="SIGUSR2"), or with '
    "OTEL_PYTHON_GLUELLM_SNAPSHOT_SIGNAL=SIGUSR2 in its environment"
)


class CannotAskError(Exception):
    """The process can't be asked; the message says why, and what to do."""


def attach(pid: int, timeout: float, *, as_json: bool) -> int:
    """Ask the process, wait ``timeout`` seconds at most, print its answer; the exit status."""
    try:
        answer = _ask(pid, timeout)
    except CannotAskError as error:
        return refuse(str(error))
    if answer is None:
        silent = _no_answer(pid, timeout)
        answer = {"snapshot": None, "findings": [silent], "text": _in_words(silent)}
    elif "error" in answer:
        error = printable(answer["error"])
        return refuse(f"process {pid} failed to take its snapshot, with {error}")
    if as_json:
        json.dump(answer, sys.stdout, indent=2)
        print()
    else:
        # Another process wrote it, which may be of another version.
        print(printable_lines(answer["text"]))
    troubled = any(finding.get("severity") in _TROUBLE for finding in answer["findings"])
    return 1 if troubled else 0


def _ask(pid: int, timeout: float) -> dict[str, Any] | None:
    """The process's answer; None when it gave none. Raises CannotAskError."""
    if not hasattr(os, "geteuid"):
        raise CannotAskError("--pid needs signals, which this system has not")
    _check_that_it_is_ours(pid)
    try:
        directory = Directory.open()
    except UnusableDirectoryError as error:
        raise CannotAskError(f"processes can't be asked here: {error}") from None
    try:
        number = _signal_of(directory, pid)
        request = Request(directory, pid)
        try:
            os.kill(pid, number)
            return _wait(request, directory, pid, timeout)
        finally:
            request.close()
    except ProcessLookupError:
        raise CannotAskError(f"process {pid} has just ended") from None
    except OSError as error:
        raise CannotAskError(f"process {pid} can't be asked: {error}") from None
    finally:
        directory.close()


def _check_that_it_is_ours(pid: int) -> None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        raise CannotAskError(f"there is no process {pid}") from None
    except PermissionError:
        raise CannotAskError(_of_another_user(pid)) from None
    owner = _owner_of(pid)
    if owner is not None and owner != os.geteuid():
        raise CannotAskError(_of_another_user(pid))


def _of_another_user(pid: int) -> str:
    owner = _owner_of(pid)
    whose = "another user" if owner is None else f"the user with the id {owner}"
    return f"process {pid} belongs to {whose}, and you are {os.geteuid()}: ask as that user"


def _owner_of(pid: int) -> int | None:
    # Second of the four is the effective one, as in geteuid() (proc_pid_status(5)).
    ids = status_of(pid).get("Uid", "").split()
    return int(ids[1]) if ids else None


def _signal_of(directory: Directory, pid: int) -> int:
    """The signal that the process answers. Raises CannotAskError."""
    state = status_of(pid).get("State", "")
    if state.startswith("Z"):
        raise CannotAskError(f"process {pid} has ended, and waits for its parent to notice")
    presence = presence_of(directory, pid)
    if presence is None:
        raise CannotAskError(
            f"process {pid}{_name_of(pid)} answers no signal of ours: {_START_IT}.\n"
            f"If it was, ask from the same container and with the same TMPDIR: nothing of it is "
            f"in {directory.path}"
        )
    if presence.get("protocol") != PROTOCOL:
        raise CannotAskError(
            f"process {pid} runs another version of opentelemetry-instrumentation-gluellm: ask "
            f"with the gluellm-pools of its own environment"
        )
    number = presence.get("signal")
    if not isinstance(number, int) or is_caught(pid, number) is False:
        raise CannotAskError(
            f"process {pid} no longer catches signal {number}, which would kill it: {_START_IT}"
        )
    if state.startswith(("T", "t")):
        raise CannotAskError(f"process {pid} is stopped; let it go on with: kill -CONT {pid}")
    return number


def _name_of(pid: int) -> str:
    name = status_of(pid).get("Name")
    return f" ({name})" if name and name.isprintable() else ""


def _wait(
    request: Request, directory: Directory, pid: int, timeout: float
) -> dict[str, Any] | None:
    deadline = time.monotonic() + timeout
    while True:
        answer = request.answer()
        if answer is not None:
            return answer
        if presence_of(directory, pid) is None:
            raise CannotAskError(f"process {pid} ended before it answered")
        if time.monotonic() > deadline:
            return None
        time.sleep(_POLL)


def _no_answer(pid: int, timeout: float) -> dict[str, Any]:
    threads = len(list(Path(f"/proc/{pid}/task").glob("*")))
    of_them = f", one of its {threads} threads" if threads else ""
    return {
        "kind": "no_answer",
        "severity": Severity.ERROR.value,
        "pool": None,
        "seen": f"process {pid} did not answer within {timeout:g} s",
        "means": f"its main thread{of_them}, does not come back to Python, or no thread of it gets "
        "the interpreter: native code that does not end, or that never lets others run. An event "
        "loop in that thread stands still, and so do all of its requests",
        "cure": f"look where it is, from outside: py-spy dump --native --pid {pid}, or gdb; move "
        "that call to a process or a thread, as with asyncio.to_thread(), if it lets others run",
    }


def _in_words(finding: dict[str, Any]) -> str:
    lines = [f"{finding['severity'].upper()}: no answer"]
    for name in ("seen", "means", "cure"):
        before = f"  {name + ':':<7}"
        lines += textwrap.wrap(
            finding[name], _WIDTH, initial_indent=before, subsequent_indent=" " * len(before)
        )
    return "\n".join(lines)

"""``doctor -- PROGRAM``: runs a program with the instrumentation on, and tells what was found.

The program has our standard streams, its own exit status, and its own say in telemetry.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from .refusal import refuse
from .telling import tell

DIRECTORY_VARIABLE = "GLUELLM_POOLS_DOCTOR_DIRECTORY"
EXIT_NOT_RUNNABLE, EXIT_NOT_FOUND = 126, 127
_SITE = Path(__file__).with_name("site")
_POLL = 0.2
_PATIENCE_AFTER_INTERRUPT = 2.0
"""Seconds in which a program that was interrupted mostly ends, and tells everything then."""


def launch(program: Sequence[str]) -> int:
    """Run the program and tell what was found; its exit status."""
    # Processes that the program leaves behind may go on to write there.
    with tempfile.TemporaryDirectory(
        prefix="gluellm-pools-doctor-", ignore_cleanup_errors=True
    ) as directory:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(
                filter(None, (str(_SITE), os.environ.get("PYTHONPATH", "")))
            ),
            DIRECTORY_VARIABLE: directory,
        }
        try:
            child = subprocess.Popen(program, env=environment)
        except OSError as error:
            return _refuse_to_run(program, error)
        status = _wait(child, program, Path(directory))
        # Whatever becomes of our own words: the status is the program's.
        with contextlib.suppress(Exception):
            tell(Path(directory), child.pid, program, status)
    return status if status >= 0 else 128 - status


def _refuse_to_run(program: Sequence[str], error: OSError) -> int:
    name = program[0]
    hint = ""
    if name.endswith(".py"):
        hint = f"; to run a script, name its Python: doctor -- python {name}"
    if isinstance(error, FileNotFoundError):
        if Path(name).exists():  # a script whose interpreter is missing
            return refuse(f"{name!r} names an interpreter that does not exist", EXIT_NOT_RUNNABLE)
        where = "" if os.sep in name else " on PATH"
        if name == "python" and shutil.which("python3"):
            hint = "; python3 is there"
        return refuse(f"there is no program {name!r}{where}{hint}", EXIT_NOT_FOUND)
    return refuse(f"{name!r} can't be run: {error.strerror}{hint}", EXIT_NOT_RUNNABLE)


def _wait(child: subprocess.Popen[bytes], program: Sequence[str], directory: Path) -> int:
    """Wait for the program's end; its status, negative for a signal.

    Ctrl-C is the program's: the terminal sends it to both. One that does not end of it is told
    about as far as it is known.
    """
    interrupts: list[float] = []
    with _signals_passed_on(child, interrupts):
        while True:
            try:
                return child.wait(_POLL)
            except subprocess.TimeoutExpired:
                if not interrupts:
                    continue
            with contextlib.suppress(subprocess.TimeoutExpired):
                return child.wait(_PATIENCE_AFTER_INTERRUPT)
            interrupts.clear()
            with contextlib.suppress(Exception):
                tell(directory, child.pid, program, None)


@contextlib.contextmanager
def _signals_passed_on(child: subprocess.Popen[bytes], interrupts: list[float]) -> Iterator[None]:
    def interrupted(_number: int, _frame: FrameType | None) -> None:
        interrupts.append(0.0)
        if not _terminal_tells_the_program():
            child.send_signal(signal.SIGINT)

    def passed_on(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    handlers: dict[int, Any] = {signal.SIGINT: interrupted, signal.SIGTERM: passed_on}
    if hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = passed_on
    previous = {}
    for number, handler in handlers.items():
        # One that we were started to ignore (nohup), the program ignores as well.
        if signal.getsignal(number) is not signal.SIG_IGN:
            previous[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _terminal_tells_the_program() -> bool:
    """Whether Ctrl-C reaches the program without us: it is in the terminal's foreground."""
    if sys.platform == "win32":
        return True
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)

"""``doctor -- PROGRAM``: run a program with the instrumentation on, and report what was found.

The program keeps its standard streams, its exit status and its own telemetry.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from opentelemetry.instrumentation.gluellm.environment import ENVIRONMENT_PREFIX

from ..arguments import refuse, write_output
from .outlook import VARIABLE, Outlook
from .run_report import run_report

DIRECTORY_VARIABLE = "GLUELLM_POOLS_DOCTOR_DIRECTORY"
_LEAK_SECONDS = "10"
"""Leak threshold unless the environment or the program sets it: a run may be short."""
_LEAK_THRESHOLD = f"{ENVIRONMENT_PREFIX}LEAK_THRESHOLD"
EXIT_NOT_RUNNABLE, EXIT_NOT_FOUND = 126, 127
_COMMAND = "gluellm-pools doctor"
_SITE = Path(__file__).with_name("site")


def launch(
    program: Sequence[str],
    outlook: Outlook,
    *,
    as_json: bool = False,
    output: Path | None = None,
) -> int:
    """Run the program, report what was found, and return the program's exit status.

    Without a file, the report goes to standard error: standard output is the program's.
    """
    # Processes that outlive the program may still write there.
    with tempfile.TemporaryDirectory(
        prefix="gluellm-pools-doctor-", ignore_cleanup_errors=True
    ) as directory:
        paths = filter(None, (str(_SITE), os.environ.get("PYTHONPATH")))
        variables = {
            "PYTHONPATH": os.pathsep.join(paths),
            DIRECTORY_VARIABLE: directory,
            VARIABLE: json.dumps(outlook),
            # In the environment, so that it also holds for the program's own instrument().
            _LEAK_THRESHOLD: os.environ.get(_LEAK_THRESHOLD, "").strip() or _LEAK_SECONDS,
        }
        try:
            child = subprocess.Popen(program, env=os.environ | variables)
        except OSError as error:
            return _refuse_to_run(program[0], error)
        with _signals_forwarded(child):
            status = child.wait()
        # The exit status is the program's, even if the report fails.
        with contextlib.suppress(Exception):
            report = run_report(Path(directory), child.pid, program, status, as_json=as_json)
            if output is None:
                print(f"\n{report}", file=sys.stderr, flush=True)
            else:
                try:
                    write_output(report, output)
                except OSError as error:
                    refuse(_COMMAND, error)
    return status if status >= 0 else 128 - status


def _refuse_to_run(name: str, error: OSError) -> int:
    hint = f"; run a script with its Python: {_COMMAND} -- python {name}"
    message = f"{name!r} can't be run: {error.strerror}{hint if name.endswith('.py') else ''}"
    status = EXIT_NOT_RUNNABLE
    # A name without a directory was looked for in PATH, not here.
    if isinstance(error, FileNotFoundError) and Path(name).exists() and os.sep in name:
        message = f"{name!r} names an interpreter that does not exist"
    elif isinstance(error, FileNotFoundError):
        status = EXIT_NOT_FOUND
    return refuse(_COMMAND, message, status)


@contextlib.contextmanager
def _signals_forwarded(child: subprocess.Popen[bytes]) -> Iterator[None]:
    def forward(number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGINT or not _terminal_interrupts_program():
            child.send_signal(number)

    numbers = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}
    # The program also ignores what the doctor was started to ignore (nohup).
    handled = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, forward) for number in handled}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _terminal_interrupts_program() -> bool:
    """Return whether the terminal sends Ctrl-C to the program as well."""
    with contextlib.suppress(OSError), Path("/dev/tty").open("rb") as terminal:
        return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    return sys.platform == "win32"

"""``doctor -- PROGRAM``: run a program with the instrumentation on, and report what was found.

The program keeps its standard streams, its exit status and its own telemetry.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from opentelemetry.instrumentation.gluellm.environment import ENVIRONMENT_PREFIX

from ..arguments import END_SIGNALS, CommandError, handled, write_output
from .outlook import VARIABLE, Outlook
from .run_report import run_report

DIRECTORY_VARIABLE = "GLUELLM_POOLS_DOCTOR_DIRECTORY"
_LEAK_SECONDS = "10"
"""Leak threshold unless the environment or the program sets it: a run may be short."""
_LEAK_THRESHOLD = f"{ENVIRONMENT_PREFIX}LEAK_THRESHOLD"
_SCOPE = f"{ENVIRONMENT_PREFIX}SCOPE"
_PATIENCE = 2.0
"""Seconds after a signal until a report on a program that still runs. A server waits for its
requests, which may hang."""
EXIT_NOT_RUNNABLE, EXIT_NOT_FOUND = 126, 127
_COMMAND = "gluellm-pools doctor"
_SITE = Path(__file__).with_name("site")


def launch(program: Sequence[str], options: argparse.Namespace) -> int:
    """Run the program, report what was found, and return the program's exit status.

    Without a file, the report goes to standard error: standard output is the program's. Raises
    CommandError if the program can't be run.
    """
    # Processes that outlive the program may still write there.
    with tempfile.TemporaryDirectory(
        prefix="gluellm-pools-doctor-", ignore_cleanup_errors=True
    ) as directory:
        paths = filter(None, (str(_SITE), os.environ.get("PYTHONPATH")))
        variables = {
            "PYTHONPATH": os.pathsep.join(paths),
            DIRECTORY_VARIABLE: directory,
            VARIABLE: json.dumps(Outlook.of(options)),
            # In the environment, so that it also holds for the program's own instrument().
            _LEAK_THRESHOLD: os.environ.get(_LEAK_THRESHOLD, "").strip() or _LEAK_SECONDS,
            _SCOPE: os.environ.get(_SCOPE, "").strip() or "all",
        }
        try:
            child = subprocess.Popen(program, env=os.environ | variables)
        except OSError as error:
            raise _not_run(program[0], error) from None

        def report(status: int | None) -> None:
            # The exit status is the program's, even if the report fails.
            with contextlib.suppress(Exception):
                text = run_report(Path(directory), child.pid, program, status, as_json=options.json)
                _write(text, options.output)

        still_runs = threading.Timer(_PATIENCE, report, [None])
        with _forwarding(child, still_runs):
            status = child.wait()
        still_runs.cancel()
        if still_runs.ident is not None:
            still_runs.join()
        report(status)
    return status if status >= 0 else 128 - status


def _write(report: str, output: Path | None) -> None:
    if output is None:
        # The rule separates it from what the program wrote, such as a long traceback.
        print(f"\n{'=' * 80}\n{report}", file=sys.stderr, flush=True)
        return
    try:
        write_output(report, output)
    except OSError as error:
        print(f"{_COMMAND}: can't write the report: {error.strerror}", file=sys.stderr)


def _not_run(name: str, error: OSError) -> CommandError:
    hint = f"; run a script with its Python: {_COMMAND} -- python {name}"
    message = f"{name!r} can't be run: {error.strerror}{hint if name.endswith('.py') else ''}"
    is_missing = isinstance(error, FileNotFoundError)
    return CommandError(message, EXIT_NOT_FOUND if is_missing else EXIT_NOT_RUNNABLE)


def _forwarding(
    child: subprocess.Popen[bytes], still_runs: threading.Timer
) -> contextlib.AbstractContextManager[None]:
    """Pass signals on to the program; the first one starts the timer."""

    def forward(number: int, _frame: object) -> None:
        if still_runs.ident is None:
            still_runs.start()
        if number != signal.SIGINT or not _terminal_interrupts_program():
            child.send_signal(number)

    numbers = {signal.SIGINT, *END_SIGNALS}
    # The program also ignores what the doctor was started to ignore (nohup).
    return handled((n for n in numbers if signal.getsignal(n) is not signal.SIG_IGN), forward)


def _terminal_interrupts_program() -> bool:
    """Return whether the terminal sends Ctrl-C to the program as well."""
    with contextlib.suppress(OSError), Path("/dev/tty").open("rb") as terminal:
        return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    return sys.platform == "win32"

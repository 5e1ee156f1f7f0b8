"""Programs of tests in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_TESTS = Path(__file__).parents[1]
PATIENCE = 60.0
"""Seconds after which a program hangs. It takes one or two where the machine has nothing to do."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended."""

    status: int
    out: str
    err: str


def run_program(
    program: Path, *arguments: str, options: tuple[str, ...] = (), **environment: str
) -> Finished:
    """Run a program with this interpreter. Raises AssertionError if it hangs.

    ``options`` are the interpreter's, further keywords variables of the environment.
    """
    path = os.pathsep.join(filter(None, (str(_TESTS), os.environ.get("PYTHONPATH", ""))))
    with subprocess.Popen(
        [sys.executable, *options, str(program), *arguments],
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        try:
            out, err = running.communicate(timeout=PATIENCE)
        except BaseException as error:
            # Its children too: each of them holds the pipes open.
            os.killpg(running.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            out, err = running.communicate()
            raise AssertionError(f"{program.name} {arguments} hangs: {out!r} {err!r}") from None
    return Finished(running.returncode, out, err)

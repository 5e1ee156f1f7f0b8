"""Programs that answer the doctor with nothing but the reporter in them, and the doctor as another.

They begin in a fraction of what an instrumented program takes, so that there can be many tests.
"""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

NOBODY = 65534
TIMEOUT = 60
MAIN = "gluellm_pools.main"
PRELUDE = """
import os, signal, sys, threading, time
from opentelemetry.instrumentation.gluellm.diagnosis.signal_report.on_signal import SignalReporter
from opentelemetry.instrumentation.gluellm.diagnosis.signal_report.rendezvous import Presence

class Report:
    def __init__(self, compare):
        self.compared = ", compared" * compare
    def to_dict(self):
        text = f"report of {os.getpid()}{self.compared}"
        return {"text": text, "findings": [], "pid": os.getpid()}
    def __str__(self):
        return f"report of {os.getpid()}"

def log(text):
    # Not print(), which can't be called in a signal handler that interrupts it.
    os.write(1, (text.replace("\\n", " ") + "\\n").encode())

def become(user):
    # Not before what is needed is imported: the interpreter may lie where others can't read.
    import logging
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)

reporter = SignalReporter("SIGUSR2", Report, log)

def ready():
    os.write(1, b"ready\\n")

def wait():
    sys.stdin.readline()
"""
USUAL = "reporter.install(); ready(); wait()"
FROM_HERE = f"import sys; sys.path[:0] = {sys.path!r}\n"
_DOCTOR = f"""
from {MAIN} import main
# Another user may not be allowed to read the source.
from gluellm_pools.doctor import ask
{{before}}
sys.exit(main(["doctor", *sys.argv[1:]]))
"""
Begin = Callable[..., subprocess.Popen[str]]


def doctor_of(
    user: int | None, place: Path, *arguments: object, before: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    """Run the doctor as a program of its own to its end, as a user, after some code."""
    if user is not None:
        drop = f"import locale, os; os.setgroups([]); os.setgid({user}); os.setuid({user})"
        before = f"{drop}\n{before}"
    return subprocess.run(
        [sys.executable, "-c", FROM_HERE + _DOCTOR.format(before=before), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        env=environment(TMPDIR=str(place), **more),
        check=False,
    )


def environment(**more: str) -> dict[str, str]:
    """Ours without settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "PYTHON"))}
    return {**kept, **more}


def start(*command: object, **more: str) -> subprocess.Popen[str]:
    """Start a program with pipes."""
    return subprocess.Popen(
        list(map(str, command)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**more),
    )


def answering(code: str, **more: str) -> subprocess.Popen[str]:
    """Start a program that can answer."""
    return start(sys.executable, "-c", f"{FROM_HERE}{PRELUDE}{textwrap.dedent(code)}", **more)


def next_line(process: subprocess.Popen[str]) -> str:
    """The next line that it prints; empty at its end."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    """Let it go on from where it waits."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def lives_on(process: subprocess.Popen[str]) -> list[str]:
    """That nothing has harmed it: it ends well when it is told to. What it said meanwhile."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.close()
    # Not communicate(), which misses what was read ahead.
    said, errors = process.stdout.read(), process.stderr.read()
    assert process.wait(TIMEOUT) == 0, errors
    assert not errors, errors
    return said.splitlines()


def files_in(directory: Path) -> list[str]:
    """Names of all that is there."""
    return sorted(one.name for one in directory.iterdir()) if directory.is_dir() else []

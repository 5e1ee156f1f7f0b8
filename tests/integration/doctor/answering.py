"""Programs with only the reporter that answers the doctor, and the doctor in its own process.

The programs start much faster than instrumented ones, which allows many tests.
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
from opentelemetry.instrumentation.gluellm.snapshots.on_signal.reporter import SignalReporter
from opentelemetry.instrumentation.gluellm.snapshots.on_signal.rendezvous import Presence
from opentelemetry.instrumentation.gluellm.snapshots.parts import ProcessSnapshot
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot

PROCESS = {}

def take():
    process = ProcessSnapshot(pid=os.getpid(), **PROCESS)
    return Snapshot(taken_at=time.time(), uptime=60.0, leak_threshold=0.0, process=process)

def text_of(snapshot):
    return f"report of {snapshot.process.pid}"

def log(text):
    # print() can't be called in a signal handler that interrupts a print().
    os.write(1, (text.replace("\\n", " ") + "\\n").encode())

def become(user):
    # After all imports, since other users may not have access to the interpreter's files.
    import logging
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)

reporter = SignalReporter("SIGUSR2", take, text_of, log)

def ready():
    os.write(1, b"ready\\n")

def wait():
    sys.stdin.readline()
"""
FINE = "no problem found\n\nconnection pools of process {} at "
"""First lines of the doctor's report on such a program, with its PID."""
USUAL = "reporter.install(); ready(); wait()"
FROM_HERE = f"import sys; sys.path[:0] = {sys.path!r}\n"
_DOCTOR = f"""
from {MAIN} import main
# Import this first, since another user may not have access to the source.
from gluellm_pools.doctor import ask, processes
from opentelemetry.instrumentation.gluellm.snapshots import text
{{before}}
sys.exit(main(["doctor", *sys.argv[1:]]))
"""
Begin = Callable[..., subprocess.Popen[str]]


def doctor_of(
    user: int | None, place: Path, *arguments: object, before: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    """Run the doctor in its own process as a user, after some code. Wait for its end."""
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
    """Return this process's environment without settings of Python and OpenTelemetry."""
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
    """Return the next line that a process prints, or an empty string at its end."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def resume(process: subprocess.Popen[str]) -> None:
    """Let a program continue after its ``wait()``."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def finish(process: subprocess.Popen[str]) -> list[str]:
    """Let a program end, and assert that it ends without an error. Returns its remaining lines."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.close()
    # communicate() would lose output that was read ahead.
    printed, errors = process.stdout.read(), process.stderr.read()
    assert process.wait(TIMEOUT) == 0, errors
    assert not errors, errors
    return printed.splitlines()


def files_in(directory: Path) -> list[str]:
    """Return the names in a directory."""
    return sorted(one.name for one in directory.iterdir()) if directory.is_dir() else []

"""A process to look into from outside, and what can be done for it."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from opentelemetry.instrumentation.gluellm.snapshots.on_signal import signals

from ..arguments import CommandError

FIRST = (3, 14)
"""First Python whose processes can be read."""
_OWN = sys.version_info[:2]
_PYTHON = re.compile(r"python(3\.\d+)")
_SCOPE = Path("/proc/sys/kernel/yama/ptrace_scope")
_PY_SPY = "look for lines in wait_for_connection (pool full) or in read (waits for the provider)"


def python_of(pid: int) -> tuple[int, int] | None:
    """Return the Python version of a process, by the files that it has loaded; None if unknown."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            if found := _PYTHON.search(line):
                major, minor = map(int, found[1].split("."))
                return major, minor
    return None


def what_can_be_done(pid: int) -> str:
    """Return what works now for a process that was not prepared."""
    python = python_of(pid)
    if python is None or python < FIRST:
        runs = f"It runs Python {_text(python)}. " if python else ""
        return f"{runs}Now: py-spy dump --pid {pid}, and {_PY_SPY}"
    if python != _OWN:
        return (
            f"Now: with the gluellm-pools of a Python {_text(python)}, doctor --attach {pid} looks "
            f"into it. Or py-spy dump --pid {pid}"
        )
    return f"Now: gluellm-pools doctor --attach {pid}"


def own_processes() -> list[int]:
    """Return this user's other processes that run a known Python, the latest first."""
    pids = [int(one.name) for one in Path("/proc").glob("[0-9]*")]
    return [
        pid
        for pid in sorted(pids, reverse=True)
        if pid != os.getpid()
        and signals.status_of(pid).get("Uid", "").split()[1:2] == [str(os.geteuid())]
        and python_of(pid) is not None
    ]


def check(pid: int) -> None:
    """Raise CommandError if this command can't look into the process."""
    if sys.platform != "linux":
        raise CommandError("--attach needs Linux")
    status = signals.status_of(pid)
    if not status or status.get("State", "").startswith(("Z", "X")):
        raise CommandError(f"there is no process {pid}")
    if status.get("Tgid", str(pid)) != str(pid):
        raise CommandError(f"{pid} is a thread: use --attach {status['Tgid']}, its process")
    if pid == os.getpid():
        raise CommandError(f"{pid} is this command itself")
    try:
        own, its = (Path(f"/proc/{who}/ns/mnt").readlink() for who in ("self", pid))
    except FileNotFoundError:
        raise ended(pid) from None
    except PermissionError:
        raise not_allowed(pid) from None
    if own != its:
        raise CommandError(
            f"process {pid} runs in another container: run the command inside, as in "
            "kubectl exec POD -- gluellm-pools doctor --attach N, with N as ps shows it there"
        )
    python = python_of(pid)
    if python is None:
        raise CommandError(f"process {pid} ({status.get('Name')}) runs no Python that is known")
    if python < FIRST:
        raise CommandError(
            f"process {pid} runs Python {_text(python)}, and --attach needs 3.14 or newer there. "
            f"Use py-spy dump --pid {pid}, and {_PY_SPY}. Next time, start the process with "
            "OTEL_PYTHON_GLUELLM_SNAPSHOT_SIGNAL=SIGUSR2 opentelemetry-instrument python ..."
        )
    if python != _OWN:
        raise CommandError(
            f"process {pid} runs Python {_text(python)}, and this command {_text(_OWN)}: use the "
            f"gluellm-pools of a Python {_text(python)}"
        )


@contextlib.contextmanager
def refusals_explained(pid: int) -> Iterator[None]:
    """Raise a CommandError with the reason and what to do for what can fail in the block."""
    try:
        yield
    except PermissionError:
        raise not_allowed(pid) from None
    except ProcessLookupError:
        raise ended(pid) from None
    except (OSError, RuntimeError, ValueError) as error:
        if not signals.status_of(pid):
            raise ended(pid) from None
        if "debugging is not enabled" in str(error):
            raise CommandError(
                f"process {pid} was started with PYTHON_DISABLE_REMOTE_DEBUG or "
                "-X disable-remote-debug, so no program can run in it"
            ) from None
        raise CommandError(f"process {pid} can't be read: {error}. Try again") from None


class EndedError(CommandError):
    """The process has ended meanwhile."""


def ended(pid: int) -> EndedError:
    """Return the error for a process that has ended meanwhile."""
    return EndedError(f"process {pid} has just ended")


def not_allowed(pid: int) -> CommandError:
    """Return the error for a missing right, with the setting that gives it."""
    owner = signals.status_of(pid).get("Uid", "?").split()[0]
    if owner not in ("?", str(os.geteuid())) and os.geteuid():
        return CommandError(
            f"process {pid} belongs to the user {owner}, and you are {os.geteuid()}: run the "
            "command as that user or as root"
        )
    with contextlib.suppress(OSError, ValueError):
        if os.geteuid() and int(_SCOPE.read_text()) > 0:
            return CommandError(
                f"process {pid} can't be traced ({_SCOPE} forbids it): run the command as root, or "
                "first: sudo sysctl kernel.yama.ptrace_scope=0"
            )
    return CommandError(
        f"process {pid} can't be traced: the container lacks SYS_PTRACE. In Docker, start it with "
        "--cap-add SYS_PTRACE; in Kubernetes, use kubectl debug --profile=sysadmin --target=..., "
        f"and there nsenter --target {pid} --mount gluellm-pools doctor --attach {pid}"
    )


def _text(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))

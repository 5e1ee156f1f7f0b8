"""Which signals may ask for a report, and which are free to."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

from ...text import one_line

_USER = ("SIGUSR1", "SIGUSR2")
_LONGEST_HANDLER = 120
_UNCATCHABLE = ("SIGKILL", "SIGSTOP")


def signal_numbers() -> dict[str, int]:
    """The signals that may ask for a report, by name; empty on Windows.

    Those only that mean nothing by themselves: SIGUSR1, SIGUSR2, and the real-time signals from
    ``SIGRTMIN`` over ``SIGRTMIN+1`` to ``SIGRTMAX``. SIGHUP is not among them, since who catches
    it outlives the terminal.
    """
    numbers = {name: int(getattr(signal, name)) for name in _USER if hasattr(signal, name)}
    first, last = getattr(signal, "SIGRTMIN", None), getattr(signal, "SIGRTMAX", None)
    if first is not None and last is not None:
        numbers["SIGRTMIN"] = int(first)
        numbers |= {f"SIGRTMIN+{step}": first + step for step in range(1, last - first)}
        numbers["SIGRTMAX"] = int(last)
    return numbers


def signal_number(name: str) -> int:
    """The number of a signal that may ask for a report.

    Raises ValueError for a name that is no such signal, saying which are.
    """
    numbers = signal_numbers()
    if name in numbers:
        return numbers[name]
    if name in _UNCATCHABLE:
        why = "no program can catch it"
    elif name in signal.Signals.__members__:
        why = "it has a meaning of its own, to the system or to the terminal"
    else:
        why = "there is no such signal here"
    found = one_line(repr(name))
    raise ValueError(f"snapshot_signal={found}: {why}; allowed is {allowed_in_words()}")


def allowed_in_words() -> str:
    """The signals that :func:`signal_number` takes, for a message."""
    names = [name for name in signal_numbers() if "+" not in name]
    if not names:
        return "None (this system has no such signals; call snapshot() instead)"
    if "SIGRTMIN" in names:
        return "SIGUSR1, SIGUSR2, or a real-time signal: SIGRTMIN, SIGRTMIN+1, ... SIGRTMAX"
    return " or ".join(names)


def why_taken(name: str, current: Any) -> str | None:
    """Why a signal is not free, with its present handler as ``getsignal`` gives it; else None.

    Not free is one that somebody catches: our handler would take it from them.
    """
    number = signal_number(name)
    if current is None:
        return "a handler that was not set from Python"
    if current not in (signal.SIG_DFL, signal.SIG_IGN):
        return f"the handler {one_line(_described(current), _LONGEST_HANDLER)}"
    if is_caught("self", number):
        # faulthandler.register() and native libraries go past Python's own table.
        return "a handler that Python knows nothing of (faulthandler.register() sets such a one)"
    return None


def is_caught(process: int | str, number: int) -> bool | None:
    """Whether a process catches a signal; None where the system does not tell.

    Linux tells in ``/proc/<pid>/status`` (proc_pid_status(5), ``SigCgt``).
    """
    mask = status_of(process).get("SigCgt")
    return None if mask is None else bool(int(mask, 16) >> (number - 1) & 1)


def status_of(process: int | str) -> dict[str, str]:
    """``/proc/<pid>/status`` of a process; empty where there is none."""
    if sys.platform != "linux":
        return {}
    try:
        text = Path(f"/proc/{process}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.split("\n"))
    return {key: value.strip() for key, _, value in lines}


def _described(handler: object) -> str:
    module = getattr(handler, "__module__", None)
    name = getattr(handler, "__qualname__", None)
    return f"{module}.{name}" if module and name else type(handler).__qualname__

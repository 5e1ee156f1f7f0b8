"""Signals that may request a report, and whether they are free."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

from ...text import one_line

_USER = ("SIGUSR1", "SIGUSR2")
_LONGEST_HANDLER = 120


def signal_numbers() -> dict[str, int]:
    """Return the signals that may request a report, by name; empty on Windows.

    Only signals without a meaning of their own: SIGUSR1, SIGUSR2, and the real-time signals
    ``SIGRTMIN``, ``SIGRTMIN+1``, ... ``SIGRTMAX``. SIGHUP is excluded, since a process that catches
    it outlives its terminal.
    """
    numbers = {name: int(getattr(signal, name)) for name in _USER if hasattr(signal, name)}
    first, last = getattr(signal, "SIGRTMIN", None), getattr(signal, "SIGRTMAX", None)
    if first is not None and last is not None:
        numbers["SIGRTMIN"] = int(first)
        numbers |= {f"SIGRTMIN+{step}": first + step for step in range(1, last - first)}
        numbers["SIGRTMAX"] = int(last)
    return numbers


def signal_number(name: str) -> int:
    """Return the number of a signal that may request a report.

    Raises ValueError, naming the allowed signals, for any other name.
    """
    numbers = signal_numbers()
    if name in numbers:
        return numbers[name]
    if name in signal.Signals.__members__:
        why = "it has a meaning of its own, to the system or to the terminal"
    else:
        why = "there is no such signal here"
    if "SIGRTMIN" in numbers:
        allowed = "SIGUSR1, SIGUSR2, or a real-time signal: SIGRTMIN, SIGRTMIN+1, ... SIGRTMAX"
    else:
        allowed = " or ".join(numbers) or "None (here are no such signals; call snapshot() instead)"
    raise ValueError(f"snapshot_signal={one_line(repr(name))}: {why}; allowed is {allowed}")


def why_taken(name: str, current: Any) -> str | None:
    """Return why a signal is not free, or None; ``current`` is what ``getsignal`` returns for it.

    A signal that has a handler is not free: the reporter's handler would replace it.
    """
    number = signal_number(name)
    if current is None:
        return "a handler that was not set from Python"
    if current not in (signal.SIG_DFL, signal.SIG_IGN):
        return f"the handler {described(current)}"
    if is_caught("self", number):
        # faulthandler.register() and native libraries bypass Python's table of handlers.
        return "a handler that was set outside Python's signal module, as by faulthandler"
    return None


def is_caught(process: int | str, number: int) -> bool | None:
    """Return whether a process catches a signal; None if the system does not report it.

    Linux reports it in ``/proc/<pid>/status`` (proc_pid_status(5), ``SigCgt``).
    """
    mask = status_of(process).get("SigCgt")
    return None if mask is None else bool(int(mask, 16) >> (number - 1) & 1)


def status_of(process: int | str) -> dict[str, str]:
    """Return ``/proc/<pid>/status`` of a process as a dict; empty if there is none."""
    if sys.platform != "linux":
        return {}
    try:
        text = Path(f"/proc/{process}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.split("\n"))
    return {key: value.strip() for key, _, value in lines}


def described(handler: object) -> str:
    """Describe a handler that ``getsignal`` returned, in one line."""
    if isinstance(handler, signal.Handlers):
        return handler.name
    module = getattr(handler, "__module__", None)
    name = getattr(handler, "__qualname__", None)
    text = f"{module}.{name}" if module and name else type(handler).__qualname__
    return one_line(text, _LONGEST_HANDLER)

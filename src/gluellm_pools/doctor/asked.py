"""A process that is to be asked, held so that its number can't become another's meanwhile."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Self

from opentelemetry.instrumentation.gluellm.diagnosis.signal_report.signals import status_of

_NO_SUCH_WAY = (errno.ENOSYS, errno.EPERM, errno.EACCES)
"""Kernels before 5.3, and containers whose filter of system calls is older than that."""


class CannotAskError(Exception):
    """The process can't be asked; the message says why, and what to do."""


class AskedProcess:
    """A process, used as a context: on Linux by a descriptor, which outlives its number."""

    def __init__(self, pid: int) -> None:
        """Raises CannotAskError where there is no such process."""
        self.pid = pid
        self._descriptor: int | None = None
        group = status_of(pid).get("Tgid")
        if group is not None and group != str(pid):
            raise CannotAskError(f"{pid} is a thread of process {group}: ask that one")
        if not hasattr(os, "pidfd_open") or not hasattr(signal, "pidfd_send_signal"):
            return
        try:
            self._descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            raise CannotAskError(f"there is no process {pid}") from None
        except OSError as error:
            if error.errno not in _NO_SUCH_WAY:
                raise CannotAskError(f"process {pid} can't be asked: {error.strerror}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def check_owner(self) -> None:
        """Raises CannotAskError for a process of another user: its answer would be theirs."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            raise CannotAskError(f"there is no process {self.pid}") from None
        except PermissionError:
            raise CannotAskError(self._of_another_user()) from None
        owner = self._owner()
        if owner is not None and owner != os.geteuid():
            raise CannotAskError(self._of_another_user())

    def send(self, number: int) -> None:
        """Send it the signal. Raises CannotAskError when it has ended, and OSError."""
        try:
            if self._descriptor is not None:
                signal.pidfd_send_signal(self._descriptor, number)
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            raise CannotAskError(f"process {self.pid} has just ended") from None

    def _of_another_user(self) -> str:
        owner = self._owner()
        whose = "another user" if owner is None else f"the user with the id {owner}"
        return (
            f"process {self.pid} belongs to {whose}, and you are {os.geteuid()}: ask as that user"
        )

    def _owner(self) -> int | None:
        # Second of the four is the effective one, as in geteuid() (proc_pid_status(5)).
        ids = status_of(self.pid).get("Uid", "").split()
        return int(ids[1]) if ids else None


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP raise SystemExit: what was left on disk is cleared up on the way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = ("SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    ours = [number for number, handler in before.items() if handler is signal.SIG_DFL]
    try:
        for number in ours:
            signal.signal(number, _end)
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)

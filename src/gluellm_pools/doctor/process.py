"""A process to inspect."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from pathlib import Path

from opentelemetry.instrumentation.gluellm.snapshots.on_signal import rendezvous, signals

from ..arguments import CommandError
from ..attach.target import what_can_be_done
from ..text import printable

_VARIABLE = "OTEL_PYTHON_GLUELLM_SNAPSHOT_SIGNAL"
HOW_TO_START = (
    f"start it with {_VARIABLE}=SIGUSR2 opentelemetry-instrument python ..., or call "
    'GlueLLMInstrumentor().instrument(snapshot_signal="SIGUSR2") in it'
)
_ANOTHER_SIGNAL = f"start it with another signal, as in {_VARIABLE}=SIGRTMIN"


class InspectionError(CommandError):
    """The process can't be inspected; the message says why and what to do."""

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(f"{reason}: {advice}" if advice else reason)
        self.reason = reason


def descendants_of(pid: int) -> list[int]:
    """Return the processes below a process that may be inspected."""
    try:
        announced = rendezvous.presences(rendezvous.Directory.open(make=False))
    except OSError:
        return []
    return sorted(one for one in announced if pid in rendezvous.ancestors(one))


class TargetProcess:
    """Process of this user. On Linux a descriptor holds it, so that a reused PID gets no signal."""

    def __init__(self, pid: int) -> None:
        """Raises InspectionError if this user has no such process, OSError without a directory."""
        self.pid = pid
        status = signals.status_of(pid)
        self._name = status.get("Name", "unknown name")
        if status.get("Tgid", str(pid)) != str(pid):
            raise InspectionError(f"{pid} is a thread: use --pid {status['Tgid']}, its process")
        # The second number is the effective user, as in geteuid() (proc_pid_status(5)).
        owner = status["Uid"].split()[1] if "Uid" in status else None
        try:
            os.kill(pid, 0)
            foreign = owner not in (None, str(os.geteuid()))
        except ProcessLookupError:
            raise InspectionError(f"there is no process {pid}") from None
        except PermissionError:
            foreign = True
        if foreign:
            raise InspectionError(
                f"process {pid} belongs to the user {owner or 'of another id'}, and you are "
                f"{os.geteuid()}: run the doctor as that user"
            )
        try:
            self.directory = rendezvous.Directory.open(make=False)
        except FileNotFoundError as error:
            raise self._not_listening(str(error)) from None
        try:
            self._descriptor: int | None = os.pidfd_open(pid)
        except (AttributeError, OSError):
            # It ended, this is not Linux, the kernel is older than 5.3, or a container blocks it.
            self._descriptor = None

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def listens(self) -> bool:
        """Return whether the process still has its entry in the directory."""
        return rendezvous.presence_of(self.directory, self.pid) is not None

    def signal_number(self) -> int:
        """Return the signal that the process handles. Raises InspectionError if there is none."""
        pid, state = self.pid, signals.status_of(self.pid).get("State", "")
        presence = rendezvous.presence_of(self.directory, pid)
        if presence is None:
            raise self._not_listening(f"{self.directory.path} has no entry for this process")
        if presence.get("protocol") != rendezvous.PROTOCOL:
            raise InspectionError(
                f"process {pid} runs another version of opentelemetry-instrumentation-gluellm: run "
                "the gluellm-pools of its own environment"
            )
        number = presence.get("signal")
        names = {value: name for name, value in signals.signal_numbers().items()}
        if type(number) is not int or number not in names:
            raise InspectionError(f"process {pid} lists no valid signal for reports")
        if signals.is_caught(pid, number) is False:
            raise InspectionError(
                f"process {pid} ({self._name}) no longer catches {names[number]}: it would end",
                _ANOTHER_SIGNAL,
            )
        if replaced_by := presence.get("handler_replaced_by"):
            raise InspectionError(
                f"process {pid} ({self._name}) gives no report, since "
                f"{printable(replaced_by, 120)} has replaced its handler of {names[number]}",
                _ANOTHER_SIGNAL,
            )
        if state.startswith(("T", "t")):
            raise InspectionError(f"process {pid} is stopped; continue it with: kill -CONT {pid}")
        return number

    def send(self, number: int) -> None:
        """Send a signal. Raises InspectionError if the process has ended, and OSError."""
        try:
            if self._descriptor is not None:
                signal.pidfd_send_signal(self._descriptor, number)
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            raise InspectionError(f"process {self.pid} has just ended") from None

    def descriptors(self) -> tuple[int, int] | None:
        """Return the number of its open file descriptors and their limit; None if unknown."""
        try:
            import resource

            limit, _ = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
            return sum(1 for _ in os.scandir(f"/proc/{self.pid}/fd")), limit
        except (ImportError, AttributeError, OSError):  # not Linux, or it has ended
            return None

    def ends_within(self, seconds: float) -> bool:
        """Wait, and return whether the process has ended, as far as that is known."""
        known = [self._descriptor] if self._descriptor is not None else []
        return bool(select.select(known, [], [], seconds)[0])

    def _not_listening(self, where: str) -> InspectionError:
        is_set = ""
        with contextlib.suppress(OSError):  # not Linux
            if f"{_VARIABLE}=".encode() in Path(f"/proc/{self.pid}/environ").read_bytes():
                is_set = f", although its environment has {_VARIABLE}. It may not be instrumented"
        return InspectionError(
            f"process {self.pid} ({self._name}) handles no signal for reports{is_set}",
            f"{what_can_be_done(self.pid)}.\nNext time, {HOW_TO_START}.\n"
            "If it was started like this, run doctor in the same container, with the same TMPDIR "
            f"({where}).",
        )

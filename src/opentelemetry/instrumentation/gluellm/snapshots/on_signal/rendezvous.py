"""Files by which ``gluellm-pools doctor --pid`` requests a snapshot from a process.

A directory that is private to the user contains a file for each process that answers a signal,
named by its PID. It says when the process started, which distinguishes a live process from a
leftover file and from a reused PID. It can say more about the process: a doctor ignores fields that
it does not know. The doctor writes a request, sends the signal, and reads the answer under the same
token.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROTOCOL = 2
"""Version of the files' contents. A doctor of another version refuses instead of guessing."""

_PRESENCE, _REQUEST, _ANSWER = ".json", ".request", ".answer"
_PROC = Path("/proc")
_PLAIN = {"LC_ALL": "C", "TZ": "UTC"}
"""Environment in which ps prints the same time for every user."""


class UnsuitableFileError(ValueError):
    """A file that this module cannot have written; the message gives the reason."""


class Directory:
    """Private directory of the user. Its methods raise OSError if it is missing or not private."""

    def __init__(self, path: Path) -> None:
        self._path = path
        _ = self.path

    @classmethod
    def open(cls, *, make: bool = True) -> Directory:
        """Return the directory for reports; ``make`` creates it if it is missing."""
        path = Path(tempfile.gettempdir()) / f"gluellm-pools-{os.geteuid()}"
        if make:
            path.mkdir(mode=0o700, exist_ok=True)
        return cls(path)

    @property
    def path(self) -> Path:
        """Its path, checked at each access: another user may have replaced the directory."""
        found = os.lstat(self._path)
        private = found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077
        if not (private and stat.S_ISDIR(found.st_mode)):
            raise PermissionError(f"{self._path} belongs to, or is open to, another user")
        return self._path

    def names(self) -> list[str]:
        return [entry.name for entry in self.path.iterdir()]

    def read(self, name: str) -> dict[str, Any]:
        """Return a file's content. Raises UnsuitableFileError; OSError if it can't be opened."""
        try:
            content = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            raise UnsuitableFileError("it is not JSON") from None
        if not isinstance(content, dict):
            raise UnsuitableFileError("it is no JSON object")
        return content

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Write a file completely or not at all."""
        path = self.path
        unfinished = path / f"{os.getpid()}-{secrets.token_hex(8)}.unfinished"
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(content, file)
            unfinished.replace(path / name)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    def remove(self, name: str) -> bool:
        """Remove a file. Return whether it existed. Raises OSError."""
        try:
            (self.path / name).unlink()
        except FileNotFoundError:
            return False
        return True


class Presence:
    """Entry of one process in the directory."""

    def __init__(self, signal_number: int, **about: Any) -> None:
        """Announce that this process answers the signal, and more. Raises OSError if that fails."""
        self.directory = Directory.open()
        self._pid = os.getpid()
        self._content = {
            "protocol": PROTOCOL,
            "signal": signal_number,
            "started": start_of(self._pid),
            "namespace": _namespace(),
            "began": time.time(),
        }
        self._writing = threading.Lock()
        self._withdrawn = False
        self.update(**about)

    def update(self, **about: Any) -> None:
        """Replace what else the entry says. Raises OSError.

        This also makes the entry young: systemd-tmpfiles(8) removes old ones.
        """
        with self._writing:
            if not self._withdrawn:
                self.directory.write(f"{self._pid}{_PRESENCE}", {**about, **self._content})

    def requests(self) -> list[str]:
        """Return the tokens of the requests that wait for an answer."""
        start = f"{self._pid}-"
        return [
            name[len(start) : -len(_REQUEST)]
            for name in self.directory.names()
            if name.startswith(start) and name.endswith(_REQUEST)
        ]

    def answer(self, token: str, content: dict[str, Any]) -> bool:
        """Answer a request. Return whether the doctor still waits for it.

        Raises OSError; the request is then removed unanswered.
        """
        answer, request = (f"{self._pid}-{token}{kind}" for kind in (_ANSWER, _REQUEST))
        try:
            self.directory.write(answer, content)
        finally:
            awaited = self.directory.remove(request)
        if not awaited:
            self.directory.remove(answer)  # the doctor has gone and won't remove it
        return awaited

    def withdraw(self) -> bool:
        """Remove the entry and its files. Does nothing in a forked child. Raises OSError.

        Returns whether a doctor may be about to send the signal. After writing its request, a
        doctor looks for the entry again before it sends. So either the doctor finds no entry, or
        this method finds the request.
        """
        if self._pid != os.getpid():
            return False
        with self._writing:
            self._withdrawn = True
            return _remove_files(self.directory, self._pid)


class ReportRequest:
    """Request of a doctor to one process, and the answer."""

    def __init__(self, directory: Directory, pid: int) -> None:
        self._directory = directory
        self._stem = f"{pid}-{secrets.token_hex(8)}"

    def write(self) -> None:
        """Write the request."""
        self._directory.write(self._stem + _REQUEST, {"protocol": PROTOCOL})

    def answer(self) -> dict[str, Any] | None:
        """Return the answer; None while there is none. Raises UnsuitableFileError and OSError."""
        try:
            return self._directory.read(self._stem + _ANSWER)
        except FileNotFoundError:
            return None

    @property
    def waits(self) -> bool:
        """Whether the process has not handled the request yet."""
        return self._stem + _REQUEST in self._directory.names()

    def close(self) -> None:
        """Remove request and answer."""
        self._directory.remove(self._stem + _REQUEST)
        self._directory.remove(self._stem + _ANSWER)


def presence_of(directory: Directory, pid: int) -> dict[str, Any] | None:
    """Return what a live process announced; None if it announced nothing or has ended."""
    try:
        content = directory.read(f"{pid}{_PRESENCE}")
    except (OSError, UnsuitableFileError):
        return None
    return content if content.get("started") == start_of(pid) else None


def presences(directory: Directory) -> dict[int, dict[str, Any]]:
    """Return what each live process announced, by PID. Removes files of dead ones. Raises OSError.

    If containers share the directory, the processes of another one look dead: its files stay.
    """
    found, namespace = {}, _namespace()
    for name in directory.names():
        pid, kind = Path(name).stem, Path(name).suffix
        if kind != _PRESENCE or not pid.isdecimal():
            continue
        with contextlib.suppress(FileNotFoundError, UnsuitableFileError):
            content = directory.read(name)
            if content.get("namespace", namespace) != namespace:
                continue
            if content.get("started") == start_of(int(pid)):
                found[int(pid)] = content
            else:
                _remove_files(directory, int(pid))
    return found


def ancestors(pid: int) -> Iterator[int]:
    """Yield the parent of a live process, the parent's parent, and so on."""
    while pid := parent_of(pid):
        yield pid


def parent_of(pid: int) -> int:
    """Return the parent of a live process; 0 if it has none, or the system does not tell."""
    fields = _stat(pid)
    return int(fields[1] if fields else _by_ps(pid, "ppid=") or 0)


def start_of(pid: int) -> str | None:
    """Return when a live process started, as text to compare; None if the system does not tell."""
    fields = _stat(pid)
    if fields is None:  # no such process, or not Linux
        return _by_ps(pid, "lstart=")
    return None if fields[0] in ("Z", "X") else fields[19]


def _stat(pid: int) -> list[str] | None:
    """Return the fields of proc_pid_stat(5) from the third on; None without that file."""
    try:
        text = (_PROC / f"{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field, the name in parentheses, may contain anything.
    return text.rpartition(")")[2].split()


def _by_ps(pid: int, column: str) -> str | None:
    command = ("/bin/ps", "-o", column, "-p", str(pid))
    try:
        done = subprocess.run(command, capture_output=True, env=_PLAIN, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None


def _namespace() -> str | None:
    """Return the namespace that PIDs here belong to; None if the system has none."""
    try:
        return os.readlink(_PROC / "self/ns/pid")  # noqa: PTH115  it is no path
    except OSError:
        return None


def _remove_files(directory: Directory, pid: int) -> bool:
    """Remove the entry and other files of a process. Return whether a doctor awaits an answer."""
    awaited = False
    directory.remove(f"{pid}{_PRESENCE}")
    for name in directory.names():
        if name.startswith((f"{pid}-", f"{pid}.")):
            awaited |= name.endswith(_REQUEST)
            directory.remove(name)
    return awaited

"""Files by which ``gluellm-pools doctor --pid`` requests a report from a process.

A directory that is private to the user contains a file for each process that answers a signal,
named by its PID. The process keeps that file locked as long as it lives. A record lock (fcntl(2))
is not inherited by a fork and ends with the process. So the lock distinguishes a live process from
a leftover file and from a reused PID. The doctor writes a request, sends the signal, and reads the
answer under the same token.

All access goes through a descriptor of the directory, so that it can't be replaced in between.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import stat
import tempfile
from pathlib import Path
from typing import Any

PROTOCOL = 1
"""Version of the files' contents. A doctor of another version refuses instead of guessing."""

_PRESENCE, _REQUEST, _ANSWER = ".json", ".request", ".answer"


class UnsuitableFileError(ValueError):
    """A file that this module cannot have written; the message gives the reason."""


class OwnDescriptor:
    """Descriptor that is used only while it refers to the file that was opened.

    A program that turns itself into a daemon closes every inherited descriptor, and its own files
    get their numbers. Writing or closing by number would then hit a file of the application.
    """

    __slots__ = ("_identity", "_number")

    def __init__(self, number: int) -> None:
        """Take over a descriptor."""
        self._number = number
        self._identity = _identity(number)

    @property
    def number(self) -> int:
        """Number of the descriptor. Raises OSError (EBADF) if another file has it now."""
        if _identity(self._number) != self._identity:
            raise OSError(errno.EBADF, "the descriptor was closed, and another file has its number")
        return self._number

    def close(self) -> None:
        """Close the descriptor, unless it is closed already. Never raises."""
        with contextlib.suppress(OSError):
            os.close(self.number)


class Directory(OwnDescriptor):
    """Private directory of the user."""

    def __init__(self, number: int, path: Path) -> None:
        super().__init__(number)
        self.path = path

    @classmethod
    def open(cls, *, make: bool = True) -> Directory:
        """Open the directory; ``make`` creates it if it is missing. Raises OSError."""
        path = Path(tempfile.gettempdir()) / f"gluellm-pools-{os.geteuid()}"
        if make:
            path.mkdir(mode=0o700, exist_ok=True)
        return cls.at(path)

    @classmethod
    def at(cls, path: Path) -> Directory:
        """Open an existing directory. Raises OSError, also if it is not private to this user."""
        directory = cls(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW), path)
        found = os.fstat(directory.number)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            directory.close()
            raise PermissionError(f"{path} belongs to, or is open to, another user")
        return directory

    def names(self) -> list[str]:
        with os.scandir(self.number) as entries:
            return [entry.name for entry in entries]

    def read(self, name: str) -> dict[str, Any]:
        """Return a file's content. Raises UnsuitableFileError; OSError if it can't be opened."""
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self.number)
        with os.fdopen(descriptor, encoding="utf-8") as file:
            try:
                content: dict[str, Any] = json.load(file)
            except ValueError:
                raise UnsuitableFileError("it is not JSON") from None
        return content

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Write a file completely or not at all."""
        unfinished, descriptor = self.create()
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(content, file)
            self.rename(unfinished, name)
        except BaseException:
            self.remove(unfinished)
            raise

    def create(self) -> tuple[str, int]:
        """Create a file under a temporary name. Return its name and descriptor."""
        name = f"{os.getpid()}-{secrets.token_hex(8)}.unfinished"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        return name, os.open(name, flags, 0o600, dir_fd=self.number)

    def rename(self, name: str, new: str) -> None:
        os.replace(name, new, src_dir_fd=self.number, dst_dir_fd=self.number)

    def remove(self, name: str) -> bool:
        """Remove a file. Return whether it existed. Raises OSError."""
        try:
            os.unlink(name, dir_fd=self.number)
        except FileNotFoundError:
            return False
        return True

    def is_locked(self, name: str) -> bool:
        """Return whether another process holds a lock on the file.

        Never call it for a file that this process has locked: closing any descriptor of a file
        releases the process's own locks on it (fcntl(2)).
        """
        import fcntl

        try:
            descriptor = os.open(name, os.O_RDWR | os.O_NOFOLLOW, dir_fd=self.number)
        except OSError:
            return False
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def sweep(self) -> None:
        """Remove the files of processes that ended without removing them."""
        names = self.names()
        owners = {name.split("-")[0].split(".")[0] for name in names} - {str(os.getpid())}
        for pid in owners:
            if not self.is_locked(pid + _PRESENCE) and not _exists(pid):
                for name in names:
                    if name.startswith((f"{pid}-", f"{pid}.")):
                        self.remove(name)


class Presence:
    """Entry of one process in the directory."""

    def __init__(self, signal_number: int) -> None:
        """Announce that this process answers the signal. Raises OSError if that fails."""
        import fcntl

        self.directory = Directory.open()
        self._pid = os.getpid()
        self._locked: OwnDescriptor | None = None
        try:
            with contextlib.suppress(OSError):
                # systemd-tmpfiles(8) skips directories on which a process holds a BSD lock.
                fcntl.flock(self.directory.number, fcntl.LOCK_SH | fcntl.LOCK_NB)
            self.directory.sweep()
            name, descriptor = self.directory.create()
            self._locked = OwnDescriptor(descriptor)
            descriptor = self._locked.number
            # Locked before the rename: readers take an unlocked entry for a leftover.
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            content = {"protocol": PROTOCOL, "signal": signal_number, "started": start_of("self")}
            os.write(descriptor, json.dumps(content).encode())
            self.directory.rename(name, f"{self._pid}{_PRESENCE}")
        except BaseException:
            self.withdraw()
            raise

    def requests(self) -> list[str]:
        """Return the tokens of the requests that wait for an answer."""
        start = f"{self._pid}-"
        return [
            name[len(start) : -len(_REQUEST)]
            for name in self.directory.names()
            if name.startswith(start) and name.endswith(_REQUEST)
        ]

    def answer(self, token: str, content: dict[str, Any]) -> None:
        """Answer a request. Raises OSError; the request is then removed unanswered."""
        answer, request = (f"{self._pid}-{token}{kind}" for kind in (_ANSWER, _REQUEST))
        try:
            self.directory.write(answer, content)
        finally:
            awaited = self.directory.remove(request)
        if not awaited:
            self.directory.remove(answer)  # the doctor has gone and won't remove it

    def withdraw(self) -> bool:
        """Remove the entry and its files; in a forked child, only close the descriptors.

        Returns whether a doctor may be about to send the signal. After writing its request, a
        doctor looks for the entry again before it sends. So either the doctor finds no entry, or
        this method finds the request.
        """
        awaited = False
        try:
            if self._pid == os.getpid():
                self.directory.remove(f"{self._pid}{_PRESENCE}")
                for name in self.directory.names():
                    if name.startswith((f"{self._pid}-", f"{self._pid}.")):
                        awaited |= name.endswith(_REQUEST)
                        self.directory.remove(name)
            return awaited
        finally:
            if self._locked is not None:
                self._locked.close()
            self.directory.close()


class ReportRequest:
    """Request of a doctor to one process, and the answer."""

    def __init__(self, directory: Directory, pid: int) -> None:
        self._directory = directory
        self._stem = f"{pid}-{secrets.token_hex(8)}"
        directory.write(self._stem + _REQUEST, {"protocol": PROTOCOL})

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
    name = f"{pid}{_PRESENCE}"
    if pid == os.getpid() or not directory.is_locked(name):
        return None
    try:
        content = directory.read(name)
    except (OSError, UnsuitableFileError):
        return None
    # Containers that share the directory can have different processes with the same PID.
    return content if content.get("started") == start_of(pid) else None


def start_of(process: int | str) -> str | None:
    """Return when a process started, in ticks since boot; None if the system does not report it."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field, the name in parentheses, may contain anything (proc_pid_stat(5)).
    return text.rpartition(")")[2].split()[19]


def _exists(pid: str) -> bool:
    if not pid.isdecimal():
        return True  # a foreign file
    try:
        os.kill(int(pid), 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True


def _identity(number: int) -> tuple[int, int]:
    found = os.fstat(number)
    return found.st_dev, found.st_ino

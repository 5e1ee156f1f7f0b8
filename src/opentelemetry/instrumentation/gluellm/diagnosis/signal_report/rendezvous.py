"""Where ``gluellm-pools doctor --pid`` and the process that it asks find each other.

A directory that is private to the user holds, for each process that answers a signal, a file named
by its pid. The process keeps that file locked for as long as it lives: a record lock (fcntl(2)) is
not inherited over fork and goes with the process, so a file left behind and a pid used anew are
told from a live process. The doctor leaves a request there, sends the signal, and finds the answer
under the same token.

Everything goes through a descriptor of the directory, so that nobody can put another one in its
place in between.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
import tempfile
from pathlib import Path
from typing import Any

from .descriptors import OwnDescriptor, beyond_standard
from .signals import status_of

PROTOCOL = 1
"""Of the files' contents. A doctor of another version says so instead of guessing."""

_PRESENCE, _REQUEST, _ANSWER = ".json", ".request", ".answer"


_LARGEST = 32 * 2**20
"""Bytes of a file that is read. A report on 10 000 requests has about 10 MB."""


class UnusableDirectoryError(OSError):
    """No directory that is private to this user can be had; the message says why."""


class MissingDirectoryError(UnusableDirectoryError):
    """It is not there: no process of this user answers."""


class UnsuitableFileError(ValueError):
    """A file that is not as we write it; the message says what it is."""


class Directory:
    """The user's private directory."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = OwnDescriptor(descriptor)
        self.path = path

    @property
    def descriptor(self) -> int:
        """Its number. Raises OSError where the program has closed it."""
        return self._descriptor.number

    @classmethod
    def open(cls, *, make: bool = True) -> Directory:
        """Open the directory, made where it is missing. Raises UnusableDirectoryError.

        Where it is not to be made, MissingDirectoryError.
        """
        try:
            place = tempfile.gettempdir()
        except OSError as error:
            raise UnusableDirectoryError(f"{error.strerror or error}; set TMPDIR") from error
        path, made = Path(place) / f"gluellm-pools-{os.geteuid()}", False
        try:
            if make:
                path.mkdir(mode=0o700)
                made = True
        except FileExistsError:
            pass
        except OSError as error:
            raise UnusableDirectoryError(f"{path}: {error.strerror}") from error
        try:
            directory = cls.at(path)
            if made:
                os.fchmod(directory.descriptor, 0o700)  # what the umask took away
        except UnusableDirectoryError:
            if made:
                # A umask that takes the owner's rights: it would be in the way of all that follow.
                with contextlib.suppress(OSError):
                    path.rmdir()
            raise
        return directory

    @classmethod
    def at(cls, path: Path) -> Directory:
        """Open a directory that is there. Raises UnusableDirectoryError if it is not private."""
        try:
            opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            descriptor = beyond_standard(opened)
        except FileNotFoundError:
            raise MissingDirectoryError(f"{path} is not there") from None
        except OSError as error:
            raise UnusableDirectoryError(f"{path}: {error.strerror}") from error
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            os.close(descriptor)
            raise UnusableDirectoryError(f"{path} belongs to, or is open to, another user")
        return cls(descriptor, path)

    def close(self) -> None:
        self._descriptor.close()

    def names(self) -> list[str]:
        with os.scandir(self.descriptor) as entries:
            return [entry.name for entry in entries]

    def read(self, name: str) -> dict[str, Any] | None:
        """A file's content; None when it is not there, or not as we write it."""
        try:
            return self.content_of(name)
        except (OSError, UnsuitableFileError):
            return None

    def content_of(self, name: str) -> dict[str, Any]:
        """A file's content. Raises UnfitFileError, and OSError when it can't be opened."""
        # A pipe without a writer would not open, or never end.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(name, flags, dir_fd=self.descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise UnsuitableFileError("it is no regular file")
        with os.fdopen(descriptor, "rb") as file:
            body = file.read(_LARGEST + 1)
        if len(body) > _LARGEST:
            raise UnsuitableFileError(f"it is larger than {_LARGEST // 2**20} MiB")
        try:
            content = json.loads(body.decode("utf-8"))
        except (ValueError, RecursionError):
            raise UnsuitableFileError("it is no JSON") from None
        if not isinstance(content, dict):
            raise UnsuitableFileError("it is no JSON object")
        return content

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Put a file there, whole or not at all."""
        unfinished, descriptor = self.create()
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(content, file)
            self.rename(unfinished, name)
        except BaseException:
            self.remove(unfinished)
            raise

    def create(self) -> tuple[str, int]:
        """A new file of a name that nobody looks for; its name and descriptor."""
        name = f"{os.getpid()}-{secrets.token_hex(8)}.unfinished"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = beyond_standard(os.open(name, flags, 0o600, dir_fd=self.descriptor))
        os.fchmod(descriptor, 0o600)  # whatever the umask is
        return name, descriptor

    def rename(self, name: str, new: str) -> None:
        os.replace(name, new, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def remove(self, name: str) -> bool:
        """Whether it was there. Raises OSError."""
        try:
            os.unlink(name, dir_fd=self.descriptor)
        except FileNotFoundError:
            return False
        return True

    def has(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        except OSError:
            return False
        return True

    def is_locked(self, name: str) -> bool:
        """Whether a process holds the file locked. Never for a file of this very process.

        Closing any descriptor of a file gives up the process's own locks on it (fcntl(2)).
        """
        import fcntl

        try:
            descriptor = os.open(name, os.O_RDWR | os.O_NOFOLLOW, dir_fd=self.descriptor)
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
        """Remove what processes left behind that ended without their own clearing up."""
        names = self.names()
        owners = {name.split("-")[0].split(".")[0] for name in names} - {str(os.getpid())}
        for pid in owners:
            if not self.is_locked(pid + _PRESENCE) and not _exists(pid):
                for name in names:
                    if name.startswith((f"{pid}-", f"{pid}.")):
                        with contextlib.suppress(OSError):  # a directory is none of ours
                            self.remove(name)


class Presence:
    """One process's entry in the directory."""

    def __init__(self, signal_number: int) -> None:
        """Announce that this process answers the signal. Raises OSError where it can't."""
        import fcntl

        self.directory = Directory.open()
        self._pid = os.getpid()
        self._locked: OwnDescriptor | None = None
        try:
            with contextlib.suppress(OSError):
                # systemd-tmpfiles(8) clears no directory that somebody holds a BSD lock on.
                fcntl.flock(self.directory.descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            self.directory.sweep()
            name, descriptor = self.directory.create()
            self._locked = OwnDescriptor(descriptor)
            # Locked before it gets the name that is looked for.
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            content = {"protocol": PROTOCOL, "signal": signal_number, "started": start_of("self")}
            os.write(descriptor, json.dumps(content).encode())
            self.directory.rename(name, f"{self._pid}{_PRESENCE}")
        except BaseException:
            self.withdraw()
            raise

    def requests(self) -> list[str]:
        """Tokens of the requests that wait for an answer."""
        start = f"{self._pid}-"
        return [
            name[len(start) : -len(_REQUEST)]
            for name in self.directory.names()
            if name.startswith(start) and name.endswith(_REQUEST)
        ]

    def answer(self, token: str, content: dict[str, Any]) -> None:
        """Give a request its answer. Raises OSError; then the request goes unanswered."""
        answer, request = (f"{self._pid}-{token}{kind}" for kind in (_ANSWER, _REQUEST))
        try:
            self.directory.write(answer, content)
        finally:
            awaited = self.directory.remove(request)
        if not awaited:
            self.directory.remove(answer)  # the doctor has left, and nobody else would

    def withdraw(self) -> bool:
        """Remove the entry and what belongs to it. In a forked child it only lets go of it.

        Whether a doctor may be about to send the signal: one that has left its request looks for
        the entry once more before it sends, so either it misses the entry or we see the request.
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


class Request:
    """A doctor's request to one process, and the answer."""

    def __init__(self, directory: Directory, pid: int) -> None:
        self._directory = directory
        self._stem = f"{pid}-{secrets.token_hex(8)}"
        directory.write(self._stem + _REQUEST, {"protocol": PROTOCOL})

    def answer(self) -> dict[str, Any] | None:
        """The answer; None as long as there is none. Raises UnfitFileError, and OSError."""
        try:
            return self._directory.content_of(self._stem + _ANSWER)
        except FileNotFoundError:
            return None

    @property
    def waits(self) -> bool:
        """Whether the process has yet to deal with it."""
        return self._directory.has(self._stem + _REQUEST)

    def close(self) -> None:
        """Remove request and answer."""
        self._directory.remove(self._stem + _REQUEST)
        self._directory.remove(self._stem + _ANSWER)


def presence_of(directory: Directory, pid: int) -> dict[str, Any] | None:
    """What a live process announced; None when it announced nothing, or lives no longer."""
    name = f"{pid}{_PRESENCE}"
    if pid == os.getpid() or not directory.is_locked(name):
        return None
    content = directory.read(name)
    # A directory that containers share has pids of several namespaces: same number, other process.
    return content if content and content.get("started") == start_of(pid) else None


def start_of(process: int | str) -> str | None:
    """When a process started, in ticks since boot; None where the system does not tell."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name, second and in parentheses, may hold anything (proc_pid_stat(5)).
    return text.rpartition(")")[2].split()[19]


def _exists(pid: str) -> bool:
    if not pid.isdecimal():
        return True  # not a file of ours
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return status_of(pid).get("State", "")[:1] != "Z"

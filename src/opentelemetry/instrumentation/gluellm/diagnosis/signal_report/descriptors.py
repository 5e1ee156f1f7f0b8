"""File descriptors that are told from others of the same number."""

from __future__ import annotations

import contextlib
import errno
import os

_LAST_STANDARD = 2


class OwnDescriptor:
    """A descriptor that is used only as long as it is what was opened.

    A program that turns itself into a daemon closes every descriptor that it inherited, and its own
    files get their numbers. What we wrote or closed by number then would be the application's.
    """

    __slots__ = ("_identity", "_number")

    def __init__(self, number: int) -> None:
        self._number = number
        self._identity = _identity(number)

    @property
    def number(self) -> int:
        """The number. Raises OSError (EBADF) where it is no longer ours."""
        if _identity(self._number) != self._identity:
            raise OSError(errno.EBADF, "the descriptor was closed, and its number is another's")
        return self._number

    def close(self) -> None:
        """Close it, unless somebody has. Never raises."""
        with contextlib.suppress(OSError):
            os.close(self.number)


def beyond_standard(number: int) -> int:
    """The descriptor, moved where it is one of the first three. Raises OSError.

    A program that was started without standard streams gives their numbers to what it opens next,
    and whatever native code or a child writes to standard error would go there.
    """
    if number > _LAST_STANDARD:
        return number
    import fcntl

    try:
        return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _LAST_STANDARD + 1)
    finally:
        os.close(number)


def _identity(number: int) -> tuple[int, int]:
    found = os.fstat(number)
    return found.st_dev, found.st_ino

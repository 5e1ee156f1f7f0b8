"""File descriptors that detect when their number was reused."""

from __future__ import annotations

import contextlib
import errno
import os


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


def _identity(number: int) -> tuple[int, int]:
    found = os.fstat(number)
    return found.st_dev, found.st_ino

"""A request that can't be served."""

from __future__ import annotations


class RefusedError(Exception):
    """The request gets this status, and this message, which tells what to do."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class CannotShowError(Exception):
    """The output can't be written; the message says why."""


class CannotListenError(Exception):
    """The address can't be listened on; the message says why and what to do."""

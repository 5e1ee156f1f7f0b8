"""What an exception of aiohttp means, where its name alone does not say it."""

from __future__ import annotations

import asyncio
from typing import Any

from ...failures import raise_on
from ...pool.lease import QUEUED, Lease
from ..error_types import error_type

_NOT_OF_THE_READ = RuntimeError
"""Two tasks read at once: that is told to the second, and the response goes on."""


def before_sending(lease: Lease, request: Any, error: BaseException) -> str:
    """Why a request got no connection.

    aiohttp has one timeout for the queue and the set-up together, and the phase tells which of them
    it struck. Its timeout for the whole request arrives as a cancellation.
    """
    timed_out = isinstance(error, TimeoutError) and error.errno is None
    if timed_out or (isinstance(error, asyncio.CancelledError) and _total_is_over(request)):
        return "pool_timeout" if lease.phase == QUEUED else "connect_timeout"
    return error_type(error)


def while_sending(protocol: Any, error: BaseException | None) -> str:
    """Why a request that had its connection got no response."""
    cause = protocol._exception if error is None else error
    return "cancelled" if cause is None else _of_connection(protocol, cause)


def while_reading(protocol: Any, error: BaseException) -> str | None:
    """Why a response broke off; None where it goes on all the same. Raises
    nothing of its own."""
    if type(error) is _NOT_OF_THE_READ:
        return None
    try:
        return _of_connection(protocol, error)
    except Exception as own:
        raise_on(own)
        return "_OTHER"  # it is called while the host's exception is on its way


def of_connection(protocol: Any) -> str | None:
    """What ended the connection, as far as it knows."""
    cause = protocol._exception
    return None if cause is None else _of_connection(protocol, cause)


def _of_connection(protocol: Any, error: BaseException) -> str:
    if type(error).__name__ == "ClientPayloadError" and protocol._exception is not None:
        # One exception for every end before the body's; the connection knows how it came.
        error = protocol._exception
    if isinstance(error, TimeoutError) and error.errno is None:
        return "read_timeout"
    kind = error_type(error)
    if kind == "read_error" and str(getattr(error, "strerror", "")).startswith("Can not write"):
        return "write_error"
    return kind


def _total_is_over(request: Any) -> bool:
    return getattr(getattr(request, "_timer", None), "_cancelled", False) is True

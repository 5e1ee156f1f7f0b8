"""``error.type`` for exceptions of aiohttp whose class alone does not determine it."""

from __future__ import annotations

import asyncio
from typing import Any

from ...pool.lease import Lease
from ...vocabulary import QUEUED
from ..error_types import error_type

_CONCURRENT_READ = RuntimeError
"""Raised in the second of two tasks that read at once. The response goes on."""


def before_sending(lease: Lease, error: BaseException, request: Any) -> str:
    """``error.type`` for a request that got no connection.

    aiohttp has one timeout for the queue and the set-up together; the lease's phase shows in which
    of them it expired. The timeout for the whole request arrives as a cancellation.
    """
    timed_out = isinstance(error, TimeoutError) and error.errno is None
    if timed_out or (isinstance(error, asyncio.CancelledError) and _total_is_over(request)):
        return "pool_timeout" if lease.phase == QUEUED else "connect_timeout"
    return error_type(error)


def while_sending(protocol: Any, error: BaseException | None) -> str:
    """``error.type`` for a request that had its connection but got no response."""
    cause = protocol._exception if error is None else error
    return "cancelled" if cause is None else _of_connection(protocol, cause)


def while_reading(protocol: Any, error: BaseException) -> str | None:
    """``error.type`` for a read of the body that failed; None if the response goes on."""
    return None if type(error) is _CONCURRENT_READ else _of_connection(protocol, error)


def of_connection(protocol: Any) -> str | None:
    """``error.type`` for the exception that ended a connection; None if it has stored none."""
    cause = protocol._exception
    return None if cause is None else _of_connection(protocol, cause)


def _of_connection(protocol: Any, error: BaseException) -> str:
    if type(error).__name__ == "ClientPayloadError" and protocol._exception is not None:
        # Raised whenever a body ends early. The connection has stored the cause.
        error = protocol._exception
    if isinstance(error, TimeoutError) and error.errno is None:
        return "read_timeout"
    kind = error_type(error)
    if kind == "read_error" and str(getattr(error, "strerror", "")).startswith("Can not write"):
        return "write_error"
    return kind


def _total_is_over(request: Any) -> bool:
    return getattr(getattr(request, "_timer", None), "_cancelled", False) is True

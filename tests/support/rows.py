"""The rows of the telemetry contract's outcome table."""

from dataclasses import dataclass, replace

import pytest

from .script import Failure

OK = None
"""The error type of a success: none."""

breaks_off_in_the_body = pytest.mark.parametrize(
    ("failure", "error"),
    [(Failure.RESET_IN_BODY, "read_error"), (Failure.EOF_IN_BODY, "protocol_error")],
)
_CREATE_ERRORS = {"connect_timeout", "secure_connection_error", "cancelled"}
"""Error types of the create histogram, which has all others as connection_error."""


@dataclass(frozen=True, slots=True)
class Row:
    """Which metrics got a value for one request, with which ``error.type`` or status."""

    acquire: str | None = OK
    created: bool = False
    create: str | None = OK
    lease: bool = True
    status: int | None = None
    error: str | None = OK
    timeout: str | None = None
    left: bool = True
    """Whether the end of the request was recorded."""
    waited_for_ready: bool = False
    """Whether a gRPC call asked to wait for its channel to be ready."""
    acquire_known: bool = True


def reused(status: int = 200) -> Row:
    """Served on a reused connection, or one that another request set up."""
    return Row(status=status)


def new(status: int = 200) -> Row:
    """Served on a new connection."""
    return Row(created=True, status=status)


def pool_timeout() -> Row:
    """No connection in time."""
    return Row(acquire="pool_timeout", lease=False, error="pool_timeout", timeout="pool")


def cancelled_in_queue() -> Row:
    """Cancelled while queued."""
    return Row(acquire="cancelled", lease=False, error="cancelled")


def connect_failed(error: str) -> Row:
    """Its connection could not be established."""
    create = error if error in _CREATE_ERRORS else "connection_error"
    return Row(created=True, create=create, error=error, timeout=_timeout(error))


def failed(error: str, *, created: bool = True, status: int | None = None) -> Row:
    """Reading or writing failed, timed out or was cancelled; with the status, if a head came."""
    return Row(created=created, error=error, status=status, timeout=_timeout(error))


def waited_for_ready(row: Row) -> Row:
    """The same for a gRPC call that asked to wait for its channel: its acquire is known."""
    return replace(row, waited_for_ready=True)


def _timeout(error: str) -> str | None:
    return error.removesuffix("_timeout") if error.endswith("_timeout") else None

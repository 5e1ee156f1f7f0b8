"""What a failure of urllib3 is called: where it happened tells as much as its class."""

from __future__ import annotations

from ...failures import from_signal_handler
from ...pool.lease import CONNECTING, Lease
from ..error_types import error_type

_DEPTH = 4


def failure_of(lease: Lease, error: BaseException) -> str:
    """The contract's ``error.type`` for what a request of a pool has raised. Raises nothing itself.

    urllib3 sends with the socket's own errors, and only names a timeout where it reads.
    """
    try:
        return _failure_of(lease, _innermost(error))
    except Exception as own:
        if from_signal_handler(own):
            raise
        return "_OTHER"  # the host's exception can be of any make


def _failure_of(lease: Lease, error: BaseException) -> str:
    connecting = lease.phase == CONNECTING
    if isinstance(error, TimeoutError):
        if connecting:
            return "connect_timeout"
        return "read_timeout" if lease.answered_at else "write_timeout"
    found = error_type(error)
    if found == "read_timeout" and connecting:
        return "connect_timeout"  # of a proxy that doesn't answer, or a handshake
    if found == "secure_connection_error" and not connecting:
        return "read_error"
    if found == "protocol_error" and connecting:
        return "connection_error"  # of a proxy that hangs up
    if found == "_OTHER" and isinstance(error, OSError):
        return "connection_error" if connecting else "read_error"
    return found


def _innermost(error: BaseException) -> BaseException:
    """What an error of urllib3 was raised for, where it only says in which part it happened."""
    for _ in range(_DEPTH):
        inner: object = None
        name = type(error).__name__
        if name == "ProxyError":
            inner = getattr(error, "original_error", None)
        elif name == "MaxRetryError":
            inner = getattr(error, "reason", None)
        elif name == "ProtocolError":
            inner = error.args[1] if len(error.args) > 1 else None
        if not isinstance(inner, BaseException):
            break
        error = inner
    return error


def fail(lease: Lease, error: str, *, in_finalizer: bool = False) -> None:
    """A request is over with an error, and its connection with it.

    Where a finalizer can be the one who tells, it is ``unwinding``.
    """
    record = lease.connection
    if lease.answered_at:
        lease.error = error
        lease.tracker.released(lease)
    else:
        lease.tracker.failed(lease, error, in_finalizer=in_finalizer)
    if record is not None:
        record.close("cancelled" if error == "cancelled" else "error")

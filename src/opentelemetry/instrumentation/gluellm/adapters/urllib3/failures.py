"""``error.type`` for failures of urllib3, which depends on their class and on the phase."""

from __future__ import annotations

from ...pool.lease import Lease
from ...pool.ledger import OTHER
from ...vocabulary import CONNECTING
from ..error_types import error_type, verify_code

_DEPTH = 4


def failure_of(lease: Lease, error: BaseException) -> str:
    """The contract's ``error.type`` for an exception that a request of a pool raised.

    urllib3 passes on the socket's own errors when it sends, and has a timeout class only for reads.
    """
    error = _innermost(error)
    connecting = lease.phase == CONNECTING
    if isinstance(error, TimeoutError):
        if connecting:
            return "connect_timeout"
        return "read_timeout" if lease.answered_at else "write_timeout"
    found = error_type(error)
    if found == "read_timeout" and connecting:
        return "connect_timeout"  # a proxy does not answer, or the handshake timed out
    if found == "secure_connection_error" and not connecting:
        return "read_error"
    if found in ("protocol_error", "invalid_response") and connecting:
        return "connection_error"  # a proxy closed the connection, or does not speak HTTP
    if type(error) is OSError and str(error).startswith("Tunnel connection failed"):
        return "proxy_error"  # http.client has no class for it
    if found == OTHER and isinstance(error, OSError):
        return "connection_error" if connecting else "read_error"
    return found


def _innermost(error: BaseException) -> BaseException:
    """The cause of an error whose class only names the step of urllib3 in which it happened."""
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


def failed(lease: Lease, error: BaseException, timeout: str | None = None) -> None:
    """End a request with an exception. A timeout is reported as ``timeout``, if that is given.

    Raises only what a signal handler raises.
    """
    try:
        kind = timeout if isinstance(error, TimeoutError) else None
        if lease.connection is not None:
            lease.connection.verify_code = verify_code(error)
        fail(lease, kind or failure_of(lease, error))
    except Exception as own:
        lease.tracker.failures.caught("urllib3.failed", own)


def fail(lease: Lease, error: str, *, in_finalizer: bool = False) -> None:
    """End a request with an error, and close the record of its connection.

    ``in_finalizer`` has to be true if a finalizer may be calling.
    """
    record = lease.connection
    if lease.answered_at:
        lease.note_error(error)
        lease.tracker.released(lease)
    else:
        lease.tracker.failed(lease, error, in_finalizer=in_finalizer)
    if record is not None:
        record.close("cancelled" if error == "cancelled" else "error")

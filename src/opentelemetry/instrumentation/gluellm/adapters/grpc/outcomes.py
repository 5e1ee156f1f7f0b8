"""How a call ended: gRPC's status, and the contract's ``error.type`` for it.

What a server answers is no error of the pool's, as little as a 429 is with HTTP: the status tells
it. But gRPC gives some statuses by itself, and does not say when. Those are taken for its own:

- CANCELLED is a cancellation.
- DEADLINE_EXCEEDED is a timeout of what the call was waiting for: the channel to be ready, its
  connection, or the answer.
- UNAVAILABLE of a call that was never seen to go out is a failure to connect; of any other, the
  connection broke, or the server turned the call away.
"""

from __future__ import annotations

from collections.abc import Callable

from ...pool.lease import CONNECTING, QUEUED

# By gRPC's numbers.
STATUSES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
OK, CANCELLED, UNKNOWN = "OK", "CANCELLED", "UNKNOWN"

_TIMEOUTS = {QUEUED: "pool_timeout", CONNECTING: "connect_timeout"}
# Words of gRPC's own texts, of 1.60 to 1.85. A text in other words is a connection_error.
_UNRESOLVED = ("errors resolving", "dns resolution failed", "name resolution", "domain name not")
_INSECURE = ("handshake failed", "ssl_error", "certificate")


def status_name(number: int) -> str:
    """The name of a status; one that the protocol doesn't have is UNKNOWN, as gRPC takes it."""
    return STATUSES[number] if 0 <= number < len(STATUSES) else UNKNOWN


def error_type(status: str, phase: int, text: Callable[[], str]) -> str | None:
    """The contract's name for a status that ended a call in this phase; None for an answer.

    ``text`` is gRPC's own account. It is looked at for failures to connect only, and goes nowhere.
    """
    if status == CANCELLED:
        return "cancelled"
    if status == "DEADLINE_EXCEEDED":
        return _TIMEOUTS.get(phase, "read_timeout")
    if status != "UNAVAILABLE":
        return None
    if phase not in _TIMEOUTS:
        return "read_error"
    account = text().lower()
    if any(word in account for word in _UNRESOLVED):
        return "name_resolution_error"
    if any(word in account for word in _INSECURE):
        return "secure_connection_error"
    return "connection_error"

"""Error types of urllib3's failures, by class, cause and phase of the request."""

import errno
import http.client
import socket
import ssl
from typing import Any

import pytest
from urllib3 import exceptions

from opentelemetry.instrumentation.gluellm.adapters.urllib3.failures import failure_of
from opentelemetry.instrumentation.gluellm.vocabulary import (
    AWAITING_RESPONSE,
    CONNECTING,
    QUEUED,
    READING,
)

from .test_error_types import caused


class At:
    """Stand-in for a lease in this phase."""

    def __init__(self, phase: int) -> None:
        self.phase = phase
        self.answered_at = 1 if phase == READING else 0


ANY: Any = None
NO_NAME = socket.gaierror(socket.EAI_NONAME, "unknown")
NO_FILES = OSError(errno.EMFILE, "too many")


CONNECT_TIMEOUT = exceptions.ConnectTimeoutError(ANY, "")
READ_TIMEOUT = exceptions.ReadTimeoutError(ANY, "", "")


def refused(cause: BaseException | None = None) -> BaseException:
    error = exceptions.NewConnectionError(ANY, "")
    return error if cause is None else caused(error, cause)


FAILURES = {
    QUEUED: [
        (exceptions.EmptyPoolError(ANY, ""), "pool_timeout"),
        (exceptions.ClosedPoolError(ANY, ""), "client_closed"),
        (KeyboardInterrupt(), "cancelled"),
    ],
    CONNECTING: [
        (CONNECT_TIMEOUT, "connect_timeout"),
        (READ_TIMEOUT, "connect_timeout"),
        (TimeoutError(), "connect_timeout"),
        (refused(), "connection_error"),
        (refused(NO_FILES), "too_many_open_files"),
        (exceptions.NameResolutionError("host", ANY, NO_NAME), "name_resolution_error"),
        (refused(NO_NAME), "name_resolution_error"),  # urllib3 1.26
        (exceptions.LocationParseError("a..b"), "name_resolution_error"),
        (exceptions.SSLError("bad"), "secure_connection_error"),
        (ssl.SSLCertVerificationError("bad"), "secure_connection_error"),
        (ssl.SSLEOFError("eof"), "secure_connection_error"),
        (OSError("Tunnel connection failed: 403"), "proxy_error"),
        (http.client.RemoteDisconnected(), "connection_error"),
        (exceptions.ProxyError("", CONNECT_TIMEOUT), "connect_timeout"),
        (exceptions.ProxyError("", refused()), "connection_error"),
    ],
    AWAITING_RESPONSE: [
        (READ_TIMEOUT, "read_timeout"),
        (TimeoutError(), "write_timeout"),
        (ConnectionResetError(errno.ECONNRESET, ""), "read_error"),
        (BrokenPipeError(errno.EPIPE, ""), "write_error"),
        (http.client.RemoteDisconnected(), "protocol_error"),
        (http.client.BadStatusLine("?"), "invalid_response"),
        (http.client.LineTooLong("header line"), "invalid_response"),
        (exceptions.MaxRetryError(ANY, "", READ_TIMEOUT), "read_timeout"),
        (ValueError(), "_OTHER"),
    ],
    READING: [
        (TimeoutError(), "read_timeout"),
        (http.client.IncompleteRead(b""), "protocol_error"),
        (exceptions.ProtocolError("", ConnectionResetError()), "read_error"),
        (exceptions.ProtocolError("Response ended prematurely"), "protocol_error"),
        (ssl.SSLError("bad record"), "read_error"),
        (OSError(errno.EIO, ""), "read_error"),
        (GeneratorExit(), "cancelled"),
    ],
}


@pytest.mark.parametrize(
    ("phase", "error", "name"),
    [(phase, *each) for phase, failures in FAILURES.items() for each in failures],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_failure_by_class_cause_and_phase(phase, error, name):
    """The type is that of httpcore's errors with the same cause."""
    assert failure_of(At(phase), error) == name

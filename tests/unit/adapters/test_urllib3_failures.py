"""What a failure of urllib3 is called, by its class, its cause and where the request was."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
from typing import Any

import pytest
from urllib3 import exceptions

from opentelemetry.instrumentation.gluellm.adapters.urllib3.failures import failure_of
from opentelemetry.instrumentation.gluellm.pool.lease import (
    AWAITING_RESPONSE,
    CONNECTING,
    QUEUED,
    READING,
)


class At:
    """Stands for a lease: where it is."""

    def __init__(self, phase: int) -> None:
        self.phase = phase
        self.answered_at = 1 if phase == READING else 0


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


ANY: Any = None
NO_NAME = socket.gaierror(socket.EAI_NONAME, "unknown")
NO_FILES = OSError(errno.EMFILE, "too many")


@pytest.mark.parametrize(
    ("error", "phase", "name"),
    [
        (exceptions.EmptyPoolError(ANY, ""), QUEUED, "pool_timeout"),
        (exceptions.ClosedPoolError(ANY, ""), QUEUED, "_OTHER"),
        (KeyboardInterrupt(), QUEUED, "cancelled"),
        (exceptions.ConnectTimeoutError(ANY, ""), CONNECTING, "connect_timeout"),
        (exceptions.ReadTimeoutError(ANY, "", ""), CONNECTING, "connect_timeout"),
        (TimeoutError(), CONNECTING, "connect_timeout"),
        (exceptions.NewConnectionError(ANY, ""), CONNECTING, "connection_error"),
        (
            caused(exceptions.NewConnectionError(ANY, ""), NO_FILES),
            CONNECTING,
            "too_many_open_files",
        ),
        (exceptions.NameResolutionError("host", ANY, NO_NAME), CONNECTING, "name_resolution_error"),
        (
            caused(exceptions.NewConnectionError(ANY, ""), NO_NAME),  # urllib3 1.26
            CONNECTING,
            "name_resolution_error",
        ),
        (exceptions.LocationParseError("a..b"), CONNECTING, "name_resolution_error"),
        (exceptions.SSLError("bad"), CONNECTING, "secure_connection_error"),
        (ssl.SSLCertVerificationError("bad"), CONNECTING, "secure_connection_error"),
        (ssl.SSLEOFError("eof"), CONNECTING, "secure_connection_error"),
        (OSError("Tunnel connection failed: 403"), CONNECTING, "connection_error"),
        (http.client.RemoteDisconnected(), CONNECTING, "connection_error"),
        (
            exceptions.ProxyError("", exceptions.ConnectTimeoutError(ANY, "")),
            CONNECTING,
            "connect_timeout",
        ),
        (
            exceptions.ProxyError("", exceptions.NewConnectionError(ANY, "")),
            CONNECTING,
            "connection_error",
        ),
        (exceptions.ReadTimeoutError(ANY, "", ""), AWAITING_RESPONSE, "read_timeout"),
        (TimeoutError(), AWAITING_RESPONSE, "write_timeout"),
        (TimeoutError(), READING, "read_timeout"),
        (ConnectionResetError(errno.ECONNRESET, ""), AWAITING_RESPONSE, "read_error"),
        (BrokenPipeError(errno.EPIPE, ""), AWAITING_RESPONSE, "write_error"),
        (http.client.RemoteDisconnected(), AWAITING_RESPONSE, "protocol_error"),
        (http.client.BadStatusLine("?"), AWAITING_RESPONSE, "protocol_error"),
        (http.client.IncompleteRead(b""), READING, "protocol_error"),
        (exceptions.ProtocolError("", ConnectionResetError()), READING, "read_error"),
        (exceptions.ProtocolError("Response ended prematurely"), READING, "protocol_error"),
        (ssl.SSLError("bad record"), READING, "read_error"),
        (OSError(errno.EIO, ""), READING, "read_error"),
        (
            exceptions.MaxRetryError(ANY, "", exceptions.ReadTimeoutError(ANY, "", "")),
            AWAITING_RESPONSE,
            "read_timeout",
        ),
        (GeneratorExit(), READING, "cancelled"),
        (ValueError(), AWAITING_RESPONSE, "_OTHER"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_failure_by_class_cause_and_phase(error: BaseException, phase: int, name: str) -> None:
    """One name of the contract, as httpcore's errors have it for the same cause."""
    assert failure_of(At(phase), error) == name  # type: ignore[arg-type]


def test_error_of_any_make_has_a_name() -> None:
    """It is on its way to the application, which must not see another one instead."""

    class ProxyError(Exception):
        @property
        def original_error(self) -> BaseException:
            raise RuntimeError

    assert failure_of(At(CONNECTING), ProxyError()) == "_OTHER"  # type: ignore[arg-type]

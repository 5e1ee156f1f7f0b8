"""A failure has the same error type for each library."""

import asyncio
import errno
import functools
import socket
import ssl
from types import SimpleNamespace
from typing import Any

import aiohttp
import h2.events
import h2.exceptions
import h11
import httpcore
import httpcore2
import pytest
import trio

from opentelemetry.instrumentation.gluellm.adapters.error_types import error_type, verify_code
from opentelemetry.instrumentation.gluellm.telemetry import semconv

CORES = [httpcore, httpcore2]

BY_CLASS = [
    *(("PoolTimeout", "pool_timeout"), ("ConnectTimeout", "connect_timeout")),
    *(("ReadTimeout", "read_timeout"), ("WriteTimeout", "write_timeout")),
    *(("ReadError", "read_error"), ("WriteError", "write_error")),
    *((f"{side}ProtocolError", "protocol_error") for side in ("Remote", "Local")),
    ("ProxyError", "proxy_error"),
    ("ConnectError", "connection_error"),
    ("UnsupportedProtocol", "_OTHER"),
]

NO_REQUEST: Any = None
AIOHTTP = [
    (aiohttp.ServerDisconnectedError(), "protocol_error"),
    (aiohttp.ClientOSError(errno.ECONNRESET, "reset"), "read_error"),
    (aiohttp.ClientConnectionResetError("Cannot write to closing transport"), "write_error"),
    (aiohttp.ClientPayloadError("Response payload is not completed"), "protocol_error"),
    (aiohttp.ClientConnectionError("Connector is closed."), "connection_error"),
    (aiohttp.SocketTimeoutError("Timeout on reading data from socket"), "read_timeout"),
    (aiohttp.ServerTimeoutError(), "read_timeout"),
    (aiohttp.ConnectionTimeoutError(), "connect_timeout"),
    (aiohttp.ServerFingerprintMismatch(b"", b"", "host", 443), "secure_connection_error"),
    (aiohttp.InvalidURL("http://"), "_OTHER"),
    (aiohttp.ClientResponseError(NO_REQUEST, (), status=400), "invalid_response"),
    (aiohttp.http_exceptions.HttpProcessingError(), "invalid_response"),
    (aiohttp.http_exceptions.LineTooLong("span;", 8190), "invalid_response"),
    (ValueError("Newline or carriage return detected in headers."), "invalid_request"),
]
KEY: Any = SimpleNamespace(host="host", port=443, ssl=True)

CAUSES = [
    (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "name_resolution_error"),
    (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "connection_error"),
    (ssl.SSLCertVerificationError(1, "certificate verify failed"), "secure_connection_error"),
    (ssl.SSLError(1, "wrong version number"), "secure_connection_error"),
    (OSError(errno.EMFILE, "Too many open files"), "too_many_open_files"),
    (OSError(errno.ENFILE, "Too many open files in system"), "too_many_open_files"),
    (OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"), "no_local_ports"),
]


def caused(error: BaseException, cause: BaseException) -> BaseException:
    """``error``, raised from ``cause``."""
    error.__cause__ = cause
    return error


def in_context(error: BaseException, context: BaseException) -> BaseException:
    """``error``, raised while ``context`` was handled."""
    error.__context__ = context
    return error


def test_errno_of_an_application_can_be_anything():
    """It may not even be hashable."""
    assert error_type(OSError([1], "theirs")) == "_OTHER"


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize(("name", "expected"), BY_CLASS)
def test_both_libraries_errors_have_the_same_type(core, name, expected):
    """httpcore and httpcore2 have separate classes of the same name."""
    assert error_type(getattr(core, name)("any text")) == expected


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize(("cause", "expected"), CAUSES)
def test_failure_to_connect_is_named_by_its_cause(core, cause, expected):
    """One ConnectError class has many causes, which the error type distinguishes.

    anyio raises an OSError from the cause, and httpcore its own error from that. Several addresses
    may have failed, each with its own cause (anyio, trio).
    """
    error = core.ConnectError
    group = ExceptionGroup("multiple connection attempts failed", [OSError("other"), cause])
    for raised in (
        caused(error("failed"), cause),
        in_context(error("failed"), cause),
        caused(error("All connection attempts failed"), in_context(OSError("failed"), cause)),
        caused(error("failed"), caused(OSError("all failed"), group)),
    ):
        assert error_type(raised) == expected
    # A library may raise the cause itself; only a specific one has a type.
    assert error_type(cause) == (expected if expected != "connection_error" else "_OTHER")


def test_certificate_that_does_not_verify_has_its_code():
    """Exceptions that wrap it do not matter."""
    cause = ssl.SSLCertVerificationError(1, "certificate verify failed")
    wrapped = caused(OSError("failed"), cause)
    assert verify_code(wrapped) == 1  # unspecified
    cause.verify_code = 20
    assert verify_code(wrapped) == 20
    assert verify_code(ssl.SSLError(1, "wrong version number")) == 0


@pytest.mark.parametrize(("error", "expected"), AIOHTTP)
def test_aiohttps_errors_have_the_same_types(error, expected):
    """If one class covers several phases, the adapter uses the phase."""
    assert error_type(error) == expected


@pytest.mark.parametrize(("cause", "expected"), CAUSES)
def test_aiohttps_failure_to_connect_is_named_by_its_cause(cause, expected):
    """aiohttp also has one class for most causes."""
    unix = functools.partial(aiohttp.client_exceptions.UnixClientConnectorError, "/path")
    for kind in (aiohttp.ClientConnectorError, aiohttp.ClientProxyConnectionError, unix):
        assert error_type(caused(kind(KEY, cause), cause)) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (aiohttp.ClientConnectorDNSError, "name_resolution_error"),
        (aiohttp.ClientConnectorCertificateError, "secure_connection_error"),
        (aiohttp.ClientConnectorSSLError, "secure_connection_error"),
    ],
)
def test_aiohttps_specific_classes_have_their_types(kind, expected):
    """The cause may be an unspecific error: aiodns raises a plain OSError."""
    cause = OSError(None, "DNS lookup failed")
    assert error_type(caused(kind(KEY, cause), cause)) == expected


@pytest.mark.parametrize("core", CORES)
def test_request_that_the_library_refuses_to_send_is_invalid(core):
    """h2 raises the same class if the peer has ended the connection."""
    refused = core.LocalProtocolError(h11.LocalProtocolError("Illegal header value"))
    ended = core.LocalProtocolError(h2.exceptions.StreamClosedError(1))
    assert (error_type(refused), error_type(ended)) == ("invalid_request", "protocol_error")


@pytest.mark.parametrize("core", CORES)
def test_answer_that_the_library_cannot_parse_is_invalid(core):
    """A peer that closes without an answer is a protocol error."""
    invalid = core.RemoteProtocolError(h11.RemoteProtocolError("Receive buffer too long"))
    closed = core.RemoteProtocolError("Server disconnected without sending a response.")
    reset = core.RemoteProtocolError(h2.events.ConnectionTerminated())
    expected = ("invalid_response", "protocol_error", "protocol_error")
    assert tuple(map(error_type, (invalid, closed, reset))) == expected


class Unprintable:
    """Raises in ``str()``."""

    def __str__(self) -> str:
        raise RuntimeError


class OddError(Exception):
    """Raises when ``args`` is read."""

    args = property(lambda self: 1 / 0)


class OddNumberError(OSError):
    """Raises when ``errno`` is read."""

    @property
    def errno(self) -> int:
        """Raise another exception."""
        raise RuntimeError


@pytest.mark.parametrize(
    "error",
    [ValueError(Unprintable()), ValueError("no header in row 7"), OddError(), OddNumberError()],
)
def test_errors_of_an_application_are_not_read(error):
    """Their arguments can be large, slow to print, or raise."""
    assert error_type(error) == semconv.OTHER


def test_cause_of_another_error_is_ignored():
    """The error of a retry after a failed look-up is not a failed look-up."""
    for error in (httpcore.ReadError("x"), httpcore2.WriteError("x"), httpcore.ConnectTimeout("x")):
        expected = error_type(error)
        assert error_type(in_context(error, socket.gaierror())) == expected
    first, second = httpcore.ConnectError("x"), OSError("y")  # causes can form a circle
    assert error_type(caused(first, in_context(second, first))) == "connection_error"


def test_cancellations_and_interrupts_are_cancelled():
    """Cancelled by asyncio or trio, closed by the collector, interrupted by a person."""
    from_trio = []

    async def main():
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.lowlevel.checkpoint()
            except BaseException as error:  # it has no public constructor
                from_trio.append(error_type(error))
                raise

    trio.run(main)
    group = BaseExceptionGroup("", [asyncio.CancelledError()])
    outside = (asyncio.CancelledError(), GeneratorExit(), KeyboardInterrupt(), group)
    assert {*from_trio, *map(error_type, outside)} == {"cancelled"}
    # An unknown class has no type of its own.
    assert {error_type(error) for error in (ValueError("x"), RuntimeError("y"))} == {semconv.OTHER}


def test_every_type_is_one_of_the_contract():
    """The contract has each type, and no other."""
    types = {error_type(getattr(httpcore, name)("")) for name, _ in BY_CLASS}
    types |= {error_type(caused(httpcore.ConnectError(""), cause)) for cause, _ in CAUSES}
    types |= {error_type(error) for error, _ in AIOHTTP}
    assert types | {"cancelled", "client_closed"} == set(semconv.ERROR_TYPES)

"""One name for a failure, whichever library raised it."""

from __future__ import annotations

import asyncio
import errno
import functools
import socket
import ssl
from types import SimpleNamespace
from typing import Any

import aiohttp
import httpcore
import httpcore2
import pytest
import trio

from opentelemetry.instrumentation.gluellm.adapters.errors import error_type
from opentelemetry.instrumentation.gluellm.telemetry import semconv

CORES = [httpcore, httpcore2]

BY_CLASS = [
    ("PoolTimeout", "pool_timeout"),
    ("ConnectTimeout", "connect_timeout"),
    ("ReadTimeout", "read_timeout"),
    ("WriteTimeout", "write_timeout"),
    ("ReadError", "read_error"),
    ("WriteError", "write_error"),
    ("RemoteProtocolError", "protocol_error"),
    ("LocalProtocolError", "protocol_error"),
    ("ProxyError", "connection_error"),
    ("ConnectError", "connection_error"),
    ("UnsupportedProtocol", "_OTHER"),
]

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


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize(("name", "expected"), BY_CLASS)
def test_both_libraries_errors_have_the_same_type(core: object, name: str, expected: str) -> None:
    """Their classes are different ones of the same name."""
    assert error_type(getattr(core, name)("any text")) == expected


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize(("cause", "expected"), CAUSES)
@pytest.mark.parametrize("raised", [caused, in_context])
def test_failure_to_connect_is_told_by_its_cause(
    core: object, cause: BaseException, expected: str, raised: object
) -> None:
    """One ConnectError stands for all of them; what it came from tells them apart."""
    error = raised(core.ConnectError("failed"), cause)  # type: ignore[operator,attr-defined]
    assert error_type(error) == expected


@pytest.mark.parametrize(("error", "expected"), AIOHTTP)
def test_aiohttps_errors_have_the_same_types(error: Exception, expected: str) -> None:
    """Where one class stands for several phases, the adapter looks at the phase."""
    assert error_type(error) == expected


@pytest.mark.parametrize(("cause", "expected"), CAUSES)
@pytest.mark.parametrize(
    "kind",
    [
        aiohttp.ClientConnectorError,
        aiohttp.ClientProxyConnectionError,
        functools.partial(aiohttp.client_exceptions.UnixClientConnectorError, "/path"),
    ],
)
def test_aiohttps_failure_to_connect_is_told_by_its_cause(
    kind: Any, cause: OSError, expected: str
) -> None:
    """One class stands for most of them here too."""
    assert error_type(caused(kind(KEY, cause), cause)) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (aiohttp.ClientConnectorDNSError, "name_resolution_error"),
        (aiohttp.ClientConnectorCertificateError, "secure_connection_error"),
        (aiohttp.ClientConnectorSSLError, "secure_connection_error"),
    ],
)
def test_aiohttp_has_classes_for_some_of_them(kind: Any, expected: str) -> None:
    """Their cause may be an error of no particular kind: aiodns raises a plain OSError."""
    cause = OSError(None, "DNS lookup failed")
    assert error_type(caused(kind(KEY, cause), cause)) == expected


@pytest.mark.parametrize(("cause", "expected"), CAUSES)
def test_cause_may_lie_deeper(cause: BaseException, expected: str) -> None:
    """anyio raises an OSError from what it met, and httpcore an error of its own from that."""
    error = httpcore2.ConnectError("All connection attempts failed")
    assert error_type(caused(error, in_context(OSError("failed"), cause))) == expected


@pytest.mark.parametrize(("cause", "expected"), CAUSES)
def test_cause_may_be_one_of_a_group(cause: BaseException, expected: str) -> None:
    """Several addresses were tried, and each failed in its own way (anyio, trio)."""
    group = ExceptionGroup("multiple connection attempts failed", [OSError("other"), cause])  # type: ignore[list-item]
    error = caused(httpcore.ConnectError("failed"), caused(OSError("all failed"), group))
    assert error_type(error) == expected


@pytest.mark.parametrize(
    "error", [httpcore.ReadError("x"), httpcore2.WriteError("x"), httpcore.ConnectTimeout("x")]
)
def test_cause_of_another_error_is_not_looked_at(error: Exception) -> None:
    """A request that is retried after a failed look-up and then breaks off broke off."""
    expected = error_type(error)
    assert error_type(in_context(error, socket.gaierror())) == expected


@pytest.mark.parametrize(("error", "expected"), CAUSES)
def test_bare_error_of_the_system_has_its_type(error: Exception, expected: str) -> None:
    """A library that lets it through is told the same; what is nothing of this is _OTHER."""
    told = error_type(error)
    assert told in (expected, "_OTHER")
    assert (told == "_OTHER") == (expected == "connection_error")


@pytest.mark.parametrize(
    "error",
    [
        asyncio.CancelledError(),
        GeneratorExit(),
        KeyboardInterrupt(),
        BaseExceptionGroup("", [asyncio.CancelledError()]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_ends_a_request_from_outside_is_cancelled(error: BaseException) -> None:
    """Cancelled by asyncio or trio, closed by the collector, interrupted by a person."""
    assert error_type(error) == "cancelled"


def test_cancellation_by_trio_is_cancelled() -> None:
    """Its exception has no public constructor."""
    told: list[str] = []

    async def main() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.lowlevel.checkpoint()
            except BaseException as error:
                told.append(error_type(error))
                raise

    trio.run(main)
    assert told == ["cancelled"]


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("Event loop is closed")])
def test_unknown_error_is_other(error: Exception) -> None:
    """A class that nobody foresaw makes no label of its own."""
    assert error_type(error) == semconv.OTHER


def test_chain_without_an_end_is_left() -> None:
    """Causes can form a circle."""
    first, second = httpcore.ConnectError("x"), OSError("y")
    first.__cause__ = second
    second.__context__ = first
    assert error_type(first) == "connection_error"


def test_every_type_is_one_of_the_contract() -> None:
    """No name that the contract doesn't know."""
    told = {error_type(getattr(httpcore, name)("")) for name, _ in BY_CLASS}
    told |= {error_type(caused(httpcore.ConnectError(""), cause)) for cause, _ in CAUSES}
    assert told | {"cancelled"} == set(semconv.ERROR_TYPES)

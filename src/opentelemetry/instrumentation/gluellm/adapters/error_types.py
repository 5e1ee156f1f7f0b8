"""The contract's ``error.type`` for the exceptions of every library."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Iterator

from ..failures import raise_on
from ..pool.ledger import OTHER

_NAMES = {
    "pool_timeout": "PoolTimeout EmptyPoolError",
    "connect_timeout": "ConnectTimeout ConnectionTimeoutError ConnectTimeoutError",
    "read_timeout": "ReadTimeout ServerTimeoutError SocketTimeoutError ReadTimeoutError",
    "write_timeout": "WriteTimeout",
    "read_error": "ReadError ClientOSError ConnectionAbortedError ConnectionResetError",
    "write_error": "WriteError ClientConnectionResetError BrokenPipeError",
    "protocol_error": (
        "RemoteProtocolError LocalProtocolError ClientPayloadError "
        "ServerDisconnectedError IncompleteRead InvalidChunkLength ProtocolError "
        "RemoteDisconnected ResponseNotReady"
    ),
    "invalid_response": (
        "ClientResponseError HttpProcessingError BadHttpMessage BadStatusLine HTTPException "
        "InvalidHeader LineTooLong UnknownProtocol"
    ),
    "client_closed": "ClosedPoolError",
    "connection_error": (
        "ConnectError ClientConnectionError ClientConnectorError ClientProxyConnectionError "
        "UnixClientConnectorError NewConnectionError"
    ),
    "proxy_error": "ProxyError ClientHttpProxyError",
    "secure_connection_error": (
        "ClientConnectorCertificateError ClientConnectorSSLError ServerFingerprintMismatch "
        "CertificateError SSLCertVerificationError SSLEOFError SSLError"
    ),
    "name_resolution_error": "ClientConnectorDNSError LocationParseError NameResolutionError",
}
"""Names of exception classes of all libraries by ``error.type``, also those of http.client, ssl and
sockets that urllib3 passes on."""
_BY_NAME = {name: kind for kind, names in _NAMES.items() for name in names.split()}
_BY_ERRNO = {
    errno.EMFILE: "too_many_open_files",
    errno.ENFILE: "too_many_open_files",
    errno.EADDRNOTAVAIL: "no_local_ports",
}
_REFUSED_HEADERS = re.compile(r"Invalid header |[\w ,]{1,60} detected in headers\.")
"""Begin of the ValueErrors by which http.client and aiohttp refuse a line break in a header."""
_DEPTH = 8
_UNSPECIFIED = 1
"""OpenSSL's X509_V_ERR_UNSPECIFIED."""


def error_type(error: BaseException) -> str:
    """The contract's ``error.type`` for an exception that a pool raised.

    Raises only what a signal handler raises.
    """
    if not isinstance(error, Exception):
        # asyncio.CancelledError, trio.Cancelled, GeneratorExit, KeyboardInterrupt.
        return "cancelled"
    try:
        return _error_type(error)
    except Exception as own:  # the attributes of an application's exception can be anything
        raise_on(own)
        return OTHER


def _error_type(error: Exception) -> str:
    """Return the type by the class of the exception, or of an exception that led to it.

    Causes are searched only for connection errors and ``OSError``: httpcore raises one
    ``ConnectError`` for a name that does not resolve, a refused connection and a certificate that
    does not verify.
    """
    if refuses_to_send(error):
        return "invalid_request"
    name = _BY_NAME.get(type(error).__name__, OTHER)
    if name == "protocol_error" and _is_h11s(error, "RemoteProtocolError"):
        return "invalid_response"  # httpcore has its own text for a peer that has closed
    if name == "connection_error" or isinstance(error, OSError):
        for cause in causes_of(error):
            if isinstance(cause, socket.gaierror):
                return "name_resolution_error"
            if isinstance(cause, ssl.SSLError):
                return "secure_connection_error"
            # An application may raise an error whose errno is anything.
            number = cause.errno if isinstance(cause, OSError) else None
            if isinstance(number, int) and number in _BY_ERRNO:
                return _BY_ERRNO[number]
    return name


def verify_code(error: BaseException) -> int:
    """Return OpenSSL's code if an exception is due to a certificate that does not verify; else 0.

    Never reads the text, which contains names.
    """
    causes = [c for c in causes_of(error) if isinstance(c, ssl.SSLCertVerificationError)]
    codes = (getattr(cause, "verify_code", 0) for cause in causes)  # aiohttp's own class has none
    known = (code for code in codes if isinstance(code, int) and code)
    return next(known, _UNSPECIFIED if causes else 0)


def refuses_to_send(error: Exception) -> bool:
    """Return whether a library raised this since a request is not valid HTTP."""
    kind = type(error)
    if kind is ValueError:
        # Never calls str() on it: the application's own errors can hold anything.
        text = error.args[0] if error.args else None
        return type(text) is str and _REFUSED_HEADERS.match(text) is not None
    return kind.__name__ == "LocalProtocolError" and _is_h11s(error, kind.__name__)


def _is_h11s(error: Exception, name: str) -> bool:
    """Return whether an exception of httpcore wraps an exception of h11 with this name.

    It also wraps h2's errors and events, which occur if the peer has ended a connection.
    """
    return (
        type(error).__module__.startswith("httpcore")
        and bool(error.args)
        and type(error.args[0]).__name__ == name
    )


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what led to it, up to a depth."""
    todo = [error]
    seen = 0
    while todo and seen < _DEPTH:
        current = todo.pop(0)
        seen += 1
        yield current
        if isinstance(current, BaseExceptionGroup):
            todo.extend(current.exceptions)
        following = current.__cause__ or current.__context__
        if following is not None:
            todo.append(following)

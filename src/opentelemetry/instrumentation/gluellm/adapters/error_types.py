"""The contract's ``error.type`` for the exceptions of every library."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator

from ..pool.ledger import OTHER

_NAMES = {
    "pool_timeout": "PoolTimeout EmptyPoolError",
    "connect_timeout": "ConnectTimeout ConnectionTimeoutError ConnectTimeoutError",
    "read_timeout": "ReadTimeout ServerTimeoutError SocketTimeoutError ReadTimeoutError",
    "write_timeout": "WriteTimeout",
    "read_error": "ReadError ClientOSError ConnectionAbortedError ConnectionResetError",
    "write_error": "WriteError ClientConnectionResetError BrokenPipeError",
    "protocol_error": (
        "RemoteProtocolError LocalProtocolError ClientPayloadError ClientResponseError "
        "HttpProcessingError ServerDisconnectedError BadStatusLine HTTPException IncompleteRead "
        "InvalidChunkLength LineTooLong ProtocolError RemoteDisconnected ResponseNotReady "
        "UnknownProtocol"
    ),
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
_DEPTH = 8


def error_type(error: BaseException) -> str:
    """The contract's ``error.type`` for an exception that a pool raised.

    Causes are searched only for connection errors and ``OSError``: httpcore raises one
    ``ConnectError`` for a name that does not resolve, a refused connection and a certificate that
    does not verify.
    """
    if not isinstance(error, Exception):
        # asyncio.CancelledError, trio.Cancelled, GeneratorExit, KeyboardInterrupt.
        return "cancelled"
    name = _BY_NAME.get(type(error).__name__, OTHER)
    if refuses_to_send(error):
        return "invalid_request"
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


def refuses_to_send(error: Exception) -> bool:
    """Return whether a library raised this since a request is not valid HTTP."""
    if type(error) is ValueError:  # aiohttp and http.client: a line break in a header
        return "header" in str(error)
    # httpcore wraps that of h11, and also h2's, which occurs if the peer has ended a connection.
    inner = type(error.args[0]) if error.args else None
    return type(error).__name__ == getattr(inner, "__name__", "") == "LocalProtocolError"


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

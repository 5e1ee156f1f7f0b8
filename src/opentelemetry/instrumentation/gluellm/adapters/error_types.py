"""The contract's ``error.type`` for the exceptions of every library."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator

from ..failures import from_signal_handler

_BY_NAME = {
    "PoolTimeout": "pool_timeout",
    "ConnectTimeout": "connect_timeout",
    "ReadTimeout": "read_timeout",
    "WriteTimeout": "write_timeout",
    "ReadError": "read_error",
    "WriteError": "write_error",
    "RemoteProtocolError": "protocol_error",
    "LocalProtocolError": "protocol_error",
    "ProxyError": "connection_error",
    "ConnectError": "connection_error",
    # aiohttp
    "ClientConnectionError": "connection_error",
    "ClientConnectionResetError": "write_error",
    "ClientConnectorCertificateError": "secure_connection_error",
    "ClientConnectorDNSError": "name_resolution_error",
    "ClientConnectorError": "connection_error",
    "ClientConnectorSSLError": "secure_connection_error",
    "ClientHttpProxyError": "connection_error",
    "ClientOSError": "read_error",
    "ClientPayloadError": "protocol_error",
    "ClientProxyConnectionError": "connection_error",
    "ClientResponseError": "protocol_error",
    "ConnectionTimeoutError": "connect_timeout",
    "HttpProcessingError": "protocol_error",
    "ServerDisconnectedError": "protocol_error",
    "ServerFingerprintMismatch": "secure_connection_error",
    "ServerTimeoutError": "read_timeout",
    "SocketTimeoutError": "read_timeout",
    "UnixClientConnectorError": "connection_error",
    # urllib3, and the exceptions of http.client, ssl and sockets that it passes on
    "BadStatusLine": "protocol_error",
    "BrokenPipeError": "write_error",
    "CertificateError": "secure_connection_error",
    "ConnectTimeoutError": "connect_timeout",
    "ConnectionAbortedError": "read_error",
    "ConnectionResetError": "read_error",
    "EmptyPoolError": "pool_timeout",
    "HTTPException": "protocol_error",
    "IncompleteRead": "protocol_error",
    "InvalidChunkLength": "protocol_error",
    "LineTooLong": "protocol_error",
    "LocationParseError": "name_resolution_error",
    "NameResolutionError": "name_resolution_error",
    "NewConnectionError": "connection_error",
    "ProtocolError": "protocol_error",
    "ReadTimeoutError": "read_timeout",
    "RemoteDisconnected": "protocol_error",
    "ResponseNotReady": "protocol_error",
    "SSLCertVerificationError": "secure_connection_error",
    "SSLEOFError": "secure_connection_error",
    "SSLError": "secure_connection_error",
    "UnknownProtocol": "protocol_error",
}
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
    does not verify. Raises only what a signal handler raises.
    """
    try:
        return _error_type(error)
    except Exception as own:
        if from_signal_handler(own):
            raise
        # The host's exception propagates and may be malformed, for example with a list as errno.
        return "_OTHER"


def _error_type(error: BaseException) -> str:
    if not isinstance(error, Exception):
        # asyncio.CancelledError, trio.Cancelled, GeneratorExit, KeyboardInterrupt.
        return "cancelled"
    name = _BY_NAME.get(type(error).__name__, "_OTHER")
    if name == "connection_error" or isinstance(error, OSError):
        for cause in _causes(error):
            if isinstance(cause, socket.gaierror):
                return "name_resolution_error"
            if isinstance(cause, ssl.SSLError):
                return "secure_connection_error"
            if isinstance(cause, OSError) and cause.errno in _BY_ERRNO:
                return _BY_ERRNO[cause.errno]
    return name


def _causes(error: BaseException) -> Iterator[BaseException]:
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

"""How a request ended, by its client's word, in the contract's: the row of the outcome table."""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import trio

from .requests import UNSEEN, Request

Value = str | int | None
CANCELLED = (asyncio.CancelledError, trio.Cancelled)
_BY_CLASS = {
    # httpcore and httpcore2
    "PoolTimeout": "pool_timeout",
    "ConnectTimeout": "connect_timeout",
    "ReadTimeout": "read_timeout",
    "WriteTimeout": "write_timeout",
    "ReadError": "read_error",
    "WriteError": "write_error",
    "RemoteProtocolError": "protocol_error",
    "LocalProtocolError": "protocol_error",  # a stream too many, since cancelled ones stay open
    # aiohttp
    "SocketTimeoutError": "read_timeout",
    "ClientConnectorCertificateError": "secure_connection_error",
    "ClientConnectorSSLError": "secure_connection_error",
    "ClientConnectorError": "connection_error",
    "ClientOSError": "read_error",
    "ServerDisconnectedError": "protocol_error",
    # urllib3
    "EmptyPoolError": "pool_timeout",
    "ConnectTimeoutError": "connect_timeout",
    "NewConnectionError": "connection_error",
    "SSLError": "secure_connection_error",
    "IncompleteRead": "protocol_error",
}
_OF_SET_UP = {"connect_timeout", "secure_connection_error", "connection_error"}


@dataclass(frozen=True, slots=True)
class Row:
    """What each metric may have got for one request; None in a set means that it may have none.

    An error of a metric is ``OK`` where it went well.
    """

    name: str
    """The row of the contract's table."""
    acquire: frozenset[Value]
    requests: frozenset[tuple[Value, Value]]
    failed_set_up: frozenset[Value] = frozenset({None})
    timeouts: frozenset[Value] = frozenset({None})


OK = "ok"


def row_of(request: Request) -> Row:
    """The row of a request that is over, or was abandoned and is let go of."""
    error, status = request.error, request.status
    if request.pool_was_closed and (error is not None or request.abandoned):
        return _any_end(status)
    if error is None and request.cancelled_in == "unread":
        return _row("cancelled while unread", status, "cancelled")
    if error is None and request.cancelled_in:
        return _cancelled_anywhere(request, status)
    if error is None:
        return _row(f"answered{_how(request)}", status, None)
    if isinstance(error, CANCELLED) or (request.cancelled_in and _is_group(error)):
        return _cancelled(request, status)
    kind = error_type(request, error)
    if "pool" in request.timeouts and type(error).__name__ == "ConnectionTimeoutError":
        return _in_the_queue_or_after_it()
    if kind == "pool_timeout":
        return Row(
            "pool timeout",
            frozenset({"pool_timeout"}),
            frozenset({(None, "pool_timeout")}),
            timeouts=frozenset({"pool"}),
        )
    if kind in _OF_SET_UP:
        return _row(f"connect failed: {kind}", status, kind, kind)
    return _row(f"failed {'in the body' if status else 'before the head'}: {kind}", status, kind)


def _is_group(error: BaseException) -> bool:
    # trio's, of the tasks in which it tries addresses.
    return not isinstance(error, Exception) and isinstance(error, BaseExceptionGroup)


def _in_the_queue_or_after_it() -> Row:
    # aiohttp's timeout covers the queue and the set-up, and nobody outside knows when one ends.
    return Row(
        "pool timeout, or connect timeout (aiohttp has one for both)",
        frozenset({"pool_timeout", OK}),
        frozenset({(None, "pool_timeout"), (None, "connect_timeout")}),
        frozenset({None, "connect_timeout"}),
        frozenset({"pool", "connect"}),
    )


def _how(request: Request) -> str:
    if request.abandoned:
        return ", abandoned"
    return ", read to its end" if request.reading is not None else ", closed unread"


def _row(name: str, status: int | None, error: str | None, set_up: str | None = None) -> Row:
    timeout = error.removesuffix("_timeout") if error and error.endswith("_timeout") else None
    return Row(
        name,
        frozenset({OK}),
        frozenset({(status, error)}),
        frozenset({set_up}),
        frozenset({timeout}),
    )


def _cancelled(request: Request, status: int | None) -> Row:
    phase = request.cancelled_in
    if phase == "queued":
        return Row("cancelled while queued", frozenset({"cancelled"}), _one(None, "cancelled"))
    if phase == "connecting":
        return _row("cancelled while connecting", None, "cancelled", "cancelled")
    if phase == "anything":
        return _cancelled_anywhere(request, status)
    return _row(f"cancelled {'in the body' if status else 'before the head'}", status, "cancelled")


def _cancelled_anywhere(request: Request, status: int | None) -> Row:
    """Cancelled at a moment that nobody chose: its server knows whether it had come that far."""
    if request.phase == UNSEEN:
        return Row(
            "cancelled in a storm, in the pool or while it was sent",
            frozenset({OK, "cancelled"}),
            _one(None, "cancelled"),
            frozenset({None, "cancelled"}),
        )
    outcomes = {(status, "cancelled")}
    if status is not None:
        outcomes.add((status, None))  # between two reads
    elif request.seen_at("head") is not None:
        outcomes.add((request.reply.status, "cancelled"))  # its head was on its way to the client
    return Row("cancelled in a storm, at its server", frozenset({OK}), frozenset(outcomes))


def _one(status: int | None, error: str | None) -> frozenset[tuple[Value, Value]]:
    return frozenset({(status, error)})


def _any_end(status: int | None) -> Row:
    errors = [None, "cancelled", "read_error", "write_error", "protocol_error", "_OTHER"]
    errors += ["connection_error", "secure_connection_error"]
    return Row(
        "its pool was closed under it",
        frozenset({OK, "cancelled"}),
        frozenset((status, error) for error in errors),
        frozenset({None, "cancelled", "connection_error", "secure_connection_error"}),
    )


def error_type(request: Request, error: BaseException) -> str:
    """What the contract calls an exception, by its class and by what the server did."""
    name = type(error).__name__
    if name == "ConnectError":
        tls = any(isinstance(cause, ssl.SSLError) for cause in _causes(error))
        return "secure_connection_error" if tls else "connection_error"
    if name == "ConnectionTimeoutError":  # aiohttp's, of the queue and of the set-up
        return "connect_timeout" if request.timeouts.get("connect") else "pool_timeout"
    if name == "ReadTimeoutError":  # urllib3's, also of a handshake that doesn't end
        return "read_timeout" if "read" in request.timeouts else "connect_timeout"
    if name in ("ProtocolError", "ClientPayloadError"):
        if isinstance(error.args[-1] if error.args else None, TimeoutError):
            return "write_timeout"
        reset = any(getattr(cause, "errno", 0) == errno.ECONNRESET for cause in _causes(error))
        # aiohttp has the cause in its text only.
        return "read_error" if reset or "ConnectionResetError" in str(error) else "protocol_error"
    return _BY_CLASS.get(name, f"unknown: {name}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        for argument in error.args:
            if isinstance(argument, BaseException):
                yield from _causes(argument)
        error = error.__cause__ or error.__context__

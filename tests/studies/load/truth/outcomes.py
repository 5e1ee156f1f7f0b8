"""Maps the end of a request, as its client saw it, to its row in the contract's outcome table."""

import asyncio
import errno
import ssl
from collections import Counter
from typing import NamedTuple

import trio

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from studies.causes import causes
from studies.load.reading import Choices, Collection
from support.script import Failure

from .requests import UNSEEN, Request

Value = str | int | None
CANCELLED = (asyncio.CancelledError, trio.Cancelled)
_CLASSES = {
    "pool_timeout": "PoolTimeout EmptyPoolError",
    "connect_timeout": "ConnectTimeout ConnectTimeoutError",
    "read_timeout": "ReadTimeout SocketTimeoutError",
    "write_timeout": "WriteTimeout",
    "read_error": "ReadError ClientOSError",
    "write_error": "WriteError",
    # httpcore raises local ones for streams above the limit, since cancelled streams stay open.
    "protocol_error": "RemoteProtocolError LocalProtocolError ServerDisconnectedError"
    " IncompleteRead",
    "connection_error": "ClientConnectorError NewConnectionError",
    "secure_connection_error": "ClientConnectorCertificateError ClientConnectorSSLError SSLError",
}
_BY_CLASS = {name: error for error, names in _CLASSES.items() for name in names.split()}
_OF_SET_UP = {"connect_timeout", "secure_connection_error", "connection_error"}


class Row(NamedTuple):
    """The values that each metric may have recorded for one request; None if it may have none.

    The error of a success is ``OK``.
    """

    name: str
    """The row of the contract's table."""
    requests: frozenset[tuple[Value, Value]]
    acquire: frozenset[Value]
    failed_set_up: frozenset[Value]


OK = "ok"


def _row(
    name: str,
    status: int | None,
    *errors: str | None,
    acquire: tuple[Value, ...] = (OK,),
    set_up: tuple[Value, ...] = (None,),
) -> Row:
    """A row for any of these errors."""
    outcomes = frozenset((status, error) for error in errors)
    return Row(name, outcomes, frozenset(acquire), frozenset(set_up))


def row_of(request: Request) -> Row:
    """The row of a request that is over, or was abandoned and ends with its pool."""
    error, status, cut = request.error, request.status, request.cancelled_in
    where = "in the body" if status else "before the head"
    if request.is_held_for_ever:  # each library ends it differently
        errors = ("client_closed", "protocol_error", "connection_error", "_OTHER")
        return _row("its pool was closed under it", status, "cancelled", None, *errors)
    if error is None and cut is None:
        how = "read to its end" if request.reading is not None else "closed unread"
        may_fail = how == "closed unread" and request.pool.library == "aiohttp"
        if may_fail and request.gate is None and request.reply.failure is not Failure.NONE:
            # The connection may have failed before the close; aiohttp detects that by itself.
            return _row("closed unread in a storm", status, None, "protocol_error", "read_error")
        return _row(f"answered, {'abandoned' if request.abandoned else how}", status, None)
    # trio's group of the tasks in which it tries addresses.
    is_group = isinstance(error, BaseExceptionGroup) and not isinstance(error, Exception)
    if error is None or isinstance(error, CANCELLED) or (cut and is_group):
        if cut == "unread":
            return _row("cancelled while unread", status, "cancelled")
        if cut == "anything" or error is None:
            return _cancelled_anywhere(request, status)
        if cut == "queued":
            return _row("cancelled while queued", None, "cancelled", acquire=("cancelled",))
        if cut == "connecting":
            return _row("cancelled while connecting", None, "cancelled", set_up=("cancelled",))
        return _row(f"cancelled {where}", status, "cancelled")
    kind = error_type(request, error)
    if "pool" in request.timeouts and type(error).__name__ == "ConnectionTimeoutError":
        # aiohttp's timeout covers the queue and the set-up, and does not report which of them it
        # ended.
        name = "pool timeout, or connect timeout (aiohttp has one for both)"
        kinds = "pool_timeout", "connect_timeout"
        return _row(name, None, *kinds, acquire=(kinds[0], OK), set_up=(None, kinds[1]))
    if kind == "pool_timeout":
        return _row("pool timeout", None, kind, acquire=(kind,))
    if kind in _OF_SET_UP:
        return _row(f"connect failed: {kind}", status, kind, set_up=(kind,))
    return _row(f"failed {where}: {kind}", status, kind)


def _cancelled_anywhere(request: Request, status: int | None) -> Row:
    """The row of a request cancelled at a random moment, by what its server saw."""
    if request.phase == UNSEEN:
        name = "cancelled in a storm, in the pool or while it was sent"
        both = {"acquire": (OK, "cancelled"), "set_up": (None, "cancelled")}
        return _row(name, None, "cancelled", **both)  # type: ignore[arg-type]
    name = "cancelled in a storm, at its server"
    if status is not None:
        return _row(name, status, "cancelled", None)  # None: between two reads
    row = _row(name, None, "cancelled")
    if request.seen_at("head") is not None:  # its head was on its way to the client
        return row._replace(requests=row.requests | {(request.reply.status, "cancelled")})
    return row


def error_type(request: Request, error: BaseException) -> str:
    """The contract's error type for an exception, by its class and by what the server did."""
    name = type(error).__name__
    if name == "ConnectError":
        tls = any(isinstance(cause, ssl.SSLError) for cause in causes(error))
        return "secure_connection_error" if tls else "connection_error"
    if name == "ConnectionTimeoutError":  # aiohttp's, of the queue and of the set-up
        return "connect_timeout" if request.timeouts.get("connect") else "pool_timeout"
    if name == "ReadTimeoutError":  # urllib3's, also of a handshake that doesn't end
        return "read_timeout" if "read" in request.timeouts else "connect_timeout"
    if name in ("ProtocolError", "ClientPayloadError"):
        if isinstance(error.args[-1] if error.args else None, TimeoutError):
            return "write_timeout"
        reset = any(getattr(cause, "errno", 0) == errno.ECONNRESET for cause in causes(error))
        # aiohttp names the cause in its text only.
        return "read_error" if reset or "ConnectionResetError" in str(error) else "protocol_error"
    return _BY_CLASS.get(name, f"unknown: {name}")


_ERRORS_OF_CREATE = ("connect_timeout", "secure_connection_error", "cancelled")
"""Error types of the create histogram; all others are a connection_error there."""


class Ledger:
    """What the metrics have to report about all requests that have ended so far."""

    def __init__(self) -> None:
        self.requests = 0
        self.acquire, self.outcomes, self.failed_set_ups = Choices(), Choices(), Choices()
        self.cut_set_ups = 0
        """Set-ups that a client cancelled when its server may have been done with them."""

    def add(self, row: Row, *, may_be_established: bool) -> None:
        """Add a request that has ended."""
        self.requests += 1
        self.cut_set_ups += may_be_established and len(row.failed_set_up | {None}) > 1
        self.acquire.add(row.acquire)
        self.outcomes.add(row.requests)
        kept = {None, *_ERRORS_OF_CREATE}
        errors = (error if error in kept else "connection_error" for error in row.failed_set_up)
        self.failed_set_ups.add(frozenset(errors))

    def differences(self, reported: Collection, established: int, held: int) -> list[str]:
        """Differences between the metrics and the truth, in words.

        ``established`` are the connections that the servers saw, ``held`` the requests that were
        answered and will end with their pool: their acquires are reported, their leases are not.
        """
        by_error = reported.by(semconv.ACQUIRE_DURATION, "error")
        acquire = Counter({error or OK: count for error, count in by_error.items()})
        acquire[OK] -= held
        create = reported.by(semconv.CONNECTION_CREATE_DURATION, "error")
        set_ups = create.pop(None, 0)
        outcomes = reported.by(semconv.REQUESTS, "status", "error")
        compared = (
            ("acquire", self.acquire, acquire),
            ("requests", self.outcomes, outcomes),
            ("create, failed", self.failed_set_ups, create),
        )
        found = [
            f"{name}: differs from the truth by {dict(difference)}, reported {dict(values)}"
            for name, choices, values in compared
            if (difference := choices.difference(values))
        ]
        kinds = reported.by(semconv.TIMEOUTS, "kind")
        fewest = established - self.cut_set_ups
        for kind in ("pool", "connect", "read", "write"):
            ended = sum(n for (_, error), n in outcomes.items() if error == f"{kind}_timeout")
            if kinds[kind] != ended:
                found.append(f"timeouts: {kinds[kind]} of {kind}, {ended} requests ended so")
        for what, number, least, most in (
            ("lease", reported.total(semconv.LEASE_DURATION), acquire[OK], acquire[OK]),
            ("create, well", set_ups, fewest, established),
            ("opened", reported.total(semconv.CONNECTION_OPENED), fewest, established),
        ):
            if not least <= number <= most:
                found.append(f"{what}: {number} reported, expected {least} to {most}")
        if not found:
            for _, choices, values in compared:
                choices.settle(values)
        return found

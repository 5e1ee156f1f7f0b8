"""Steps of a connection's set-up that the libraries do not show: above all, resolving its name.

The functions that resolve names are shared by the whole process. Their hooks find the record of the
connection in a context variable, which is set while a connection is being established.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from ..failures import raise_on
from ..patching import is_patched
from ..pool.lease import TrackedConnection
from ..vocabulary import CONNECT, OTHER_STEP, RESOLVE, THREAD

SET_UP: ContextVar[TrackedConnection | None] = ContextVar("gluellm_setup", default=None)
"""The record of the connection that the running code establishes. Set-ups are rare, so setting it
adds no cost to most requests."""
LOST = {
    "resolve": "the steps resolve and connect of a set-up (counted as the step other)",
    "resolve_thread": "the wait for a thread that resolves a name (counted as the step resolve)",
}
"""Hooks of the adapters whose libraries resolve names on an event loop."""
NETWORK_TYPES: dict[Any, str] = {socket.AF_INET: "ipv4", socket.AF_INET6: "ipv6"}


def begin(record: TrackedConnection, host: str | None) -> None:
    """Record that a connection to a host begins to be established.

    A name starts in the step ``other``, since the library's resolver may have no hook. It is
    ``connect`` after a resolution that was seen. An address and a Unix socket (None) need none.
    """
    named = host is not None and ":" not in host and not host.rpartition(".")[2].isdigit()
    record.set_up(OTHER_STEP if named else CONNECT, record.tracker.clock())


@contextlib.contextmanager
def within(record: TrackedConnection) -> Iterator[None]:
    """Attribute what the block resolves to the set-up of a connection."""
    token = SET_UP.set(record)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # a finalizer may close a coroutine elsewhere
            SET_UP.reset(token)


def network_type(stream: Any) -> str | None:
    """The value of ``network.type`` for a stream or transport; None if it has none."""
    try:
        return NETWORK_TYPES.get(stream.get_extra_info("socket").family)
    except Exception as error:  # a third party's stream
        raise_on(error)
        return None


def _begun() -> TrackedConnection | None:
    record = SET_UP.get()
    if record is None or not record.enter_step(RESOLVE, record.tracker.clock(), OTHER_STEP):
        return None
    record.resolved = False
    return record


def _ended(record: TrackedConnection) -> None:
    record.resolved = True
    record.enter_step(CONNECT, record.tracker.clock())


def resolving(original: Any) -> Any:
    """Time a coroutine function that resolves the name of a connection's peer."""

    def getaddrinfo(first: Any, *args: Any, **kwargs: Any) -> Any:
        pending = original(first, *args, **kwargs)
        record = _begun()
        return pending if record is None else resolve(record, pending)

    async def resolve(record: TrackedConnection, pending: Any) -> Any:
        found = await pending
        _ended(record)
        return found

    return getaddrinfo


def in_thread(original: Any) -> Any:
    """Record that an event loop passes a resolution to a thread of its executor."""

    def getaddrinfo(self_: Any, host: Any, port: Any, *, flags: int = 0, **kwargs: Any) -> Any:
        # Without the hook on the blocking function nothing would report that a thread begins.
        record = SET_UP.get() if is_patched(socket.getaddrinfo) else None
        if record is not None and record.enter_step(THREAD, record.tracker.clock(), RESOLVE):
            flags = _Flags(flags)
            flags.record = record
        return original(self_, host, port, flags=flags, **kwargs)

    return getaddrinfo


class _Flags(int):
    """Flags of a resolution in an executor, whose threads do not have the caller's context."""

    record: TrackedConnection


def resolving_here(original: Any) -> Any:
    """Time the blocking function that resolves names, in whichever thread it runs."""

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        flags = args[-1] if args else None
        if isinstance(flags, _Flags):
            record = None
            flags.record.enter_step(RESOLVE, flags.record.tracker.clock(), THREAD)
        else:
            record = _begun()
        found = original(host, *args, **kwargs)
        if record is not None:
            _ended(record)
        return found

    return getaddrinfo

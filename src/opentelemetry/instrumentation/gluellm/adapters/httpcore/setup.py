"""Times of a connection's set-up, measured through the library's public network interface."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ...pool.lease import TrackedConnection
from ...pool.ledger import is_host
from ...vocabulary import OTHER_STEP, PROXY, TLS
from .. import steps
from ..marks import CONNECTION


def time_setup(connection: Any, record: TrackedConnection, *, secure: bool) -> None:
    """Make a new connection connect through a backend that records the times.

    Every connection takes a backend as a parameter. A connection through a proxy holds an inner
    connection to the proxy, which has the backend.
    """
    holder = connection
    if not hasattr(holder, "_network_backend"):
        holder = connection._connection
    proxy = getattr(connection, "_proxy_origin", None)
    handshakes = int(secure) + int(proxy is not None and proxy.scheme == b"https")
    is_async = hasattr(connection, "handle_async_request")
    backend = holder._network_backend
    if not callable(getattr(backend, "connect_tcp", None)):
        raise TypeError("no network backend")
    after = OTHER_STEP if proxy is None else PROXY
    holder._network_backend = _Timed(backend, record, handshakes, after, is_async)


@dataclass(slots=True, eq=False)
class _Timed:
    """A network backend, or one of its streams until the last handshake has returned another."""

    _target: Any
    _record: TrackedConnection
    _handshakes: int
    """Number of TLS handshakes still to come: with a proxy, with the origin."""
    _after: int
    """Step that follows a connect or a handshake, until the next one."""
    _is_async: bool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    def connect_tcp(self, *args: Any, **kwargs: Any) -> Any:
        host, port = kwargs.get("host"), kwargs.get("port")
        if host is not None and port is not None and is_host(host.lower()):
            self._record.peer = (host, port)
        return self._connect(self._target.connect_tcp, host or "", args, kwargs)

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> Any:
        return self._connect(self._target.connect_unix_socket, None, args, kwargs)

    def start_tls(self, *args: Any, **kwargs: Any) -> Any:
        record = self._record
        record.tls_started_at = now = record.tracker.clock()
        record.enter_step(TLS, now)
        return self._step(self._secured, self._target.start_tls, args, kwargs)

    def _connect(self, connect: Any, host: str | None, args: Any, kwargs: Any) -> Any:
        record = self._record
        record.connect_ended_at = 0
        if record.leases:
            record.activate(record.tracker.clock())
        steps.begin(record, host)
        return self._step(self._connected, connect, args, kwargs)

    def _step(self, done: Callable[[Any], Any], step: Any, args: Any, kwargs: Any) -> Any:
        with self._giving_up():
            stream = step(*args, **kwargs)
        return self._awaited(done, stream) if self._is_async else done(stream)

    async def _awaited(self, done: Callable[[Any], Any], pending: Any) -> Any:
        with self._giving_up():
            stream = await pending
        return done(stream)

    @contextlib.contextmanager
    def _giving_up(self) -> Iterator[None]:
        # The pool gives the place to the next request before the failing request gets its error.
        record = self._record
        try:
            with steps.within(record):
                yield
        except BaseException:
            record.deactivate()
            record.enter_step(OTHER_STEP, record.tracker.clock())
            raise

    def _connected(self, stream: Any) -> Any:
        record = self._record
        record.connect_ended_at = now = record.tracker.clock()
        record.enter_step(self._after, now)
        record.network_type = steps.network_type(stream)
        return self._handed_on(stream, self._handshakes)

    def _secured(self, stream: Any) -> Any:
        record = self._record
        record.tls_ended_at = now = record.tracker.clock()
        record.enter_step(self._after, now)
        try:
            tls = stream.get_extra_info("ssl_object")
            # The ssl_object of httpcore's MockBackend has no version().
            version = getattr(tls, "version", None)
            record.tls_version = version() if callable(version) else None
        except Exception as error:
            record.tracker.failures.caught("httpcore.tls_version", error)
        return self._handed_on(stream, self._handshakes - 1)

    def _handed_on(self, stream: Any, handshakes: int) -> Any:
        if handshakes > 0:
            return _Timed(stream, self._record, handshakes, self._after, self._is_async)
        # The protocol connection that is built on the stream finds its record there.
        with contextlib.suppress(AttributeError):
            setattr(stream, CONNECTION, self._record)
        return stream

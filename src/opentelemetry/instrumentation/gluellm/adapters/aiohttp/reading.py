"""The state of a pool of aiohttp, read in any thread, without a socket or a lock.

A connector lists the connections in use in ``_acquired``, with a placeholder for each one that is
being established, and the idle ones in ``_conns``. Its limits apply to ``_acquired`` only.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any

from ...concurrency import snapshot_of
from ...pool.counts import ACTIVE, CONNECTING, IDLE_1, Occupancy, PoolSums
from ...pool.lease import ConnectionView, ReadPool, TrackedConnection, close_missing
from ...pool.ledger import OriginLedger
from ...pool.reader import Sockets, seconds_or_none
from ...pool.tracker import PoolTracker
from ..marks import CONNECTION, LIMITS_FROM
from ..scope import LibraryReader
from .connections import record_of_idle
from .listing import exchange


class AiohttpReader(LibraryReader[PoolTracker]):
    """Reads connectors of aiohttp."""

    reads_ahead = True

    def adopt(self, pool: Any, tracker: PoolTracker) -> None:
        for _ in _idle(pool, tracker):
            pass
        # Connections in use belong to earlier requests. Placeholders have no transport.
        for protocol in tuple(pool._acquired):
            transport = getattr(protocol, "transport", None)
            if transport is not None:
                record_of_idle(protocol, _peer_of(transport, tracker), tracker)
        tracker.maximum = _bound(pool._limit)

    def count(self, pool: Any, tracker: PoolTracker, counts: PoolSums) -> Occupancy:
        """Add a pool's connections to ``counts``.

        Metric callbacks call it, so it touches no socket: ``is_connected`` only reads flags of the
        transport.
        """
        known, others = _in_use(pool, tracker)
        seen = len(known)
        busy = seen + others
        for protocol, record in known:
            record.missing_since = 0
            if protocol.is_connected():
                counts.origins[record.origin][ACTIVE[record.protocol]] += 1
        for _, record in _idle(pool, tracker):
            counts.origins[record.origin][IDLE_1] += 1
            record.missing_since = 0
            seen += 1
        if others:
            for record in snapshot_of(tracker.connections.keys):
                if not record.established_at and others:
                    counts.origins[record.origin][CONNECTING] += 1
                    others -= 1
                    seen += 1
            origin = _unseen_origin(tracker) if others else None
            if origin is not None:
                counts.origins[origin][CONNECTING] += others
        if len(tracker.connections) > seen:
            listed = {record for _, record in (*_in_use(pool, tracker)[0], *_idle(pool, tracker))}
            close_missing(tracker, listed)
        return busy, _bound(pool._limit), None

    def view(self, pool: Any, tracker: PoolTracker) -> ReadPool:
        """Return the state of each connection of a pool. Like `count`, it touches no socket."""
        known, _ = _in_use(pool, tracker)
        found = [
            # Connected or not, it occupies a place. An adopted connection may be held by a request
            # that began before the instrumentation.
            ConnectionView(record, "active", record.adopted, None, _held_before(record, protocol))
            for protocol, record in known
        ]
        found += [
            # While the connections in use reach the limit, a waiter can't take an idle one.
            ConnectionView(record, "idle", not _has_room(pool, key), None)
            for key, record in _idle(pool, tracker)
        ]
        found += [
            ConnectionView(record, "connecting", True, None)
            for record in snapshot_of(tracker.connections.keys)
            if not record.established_at
        ]
        return ReadPool(
            max_connections=_bound(pool._limit),
            keepalive_expiry=0.0 if pool._force_close else seconds_or_none(pool._keepalive_timeout),
            tcp_keepalive=_tcp_keepalive(pool),
            connections=found,
            max_connections_per_origin=_bound(pool._limit_per_host),
            limits_from=getattr(pool, LIMITS_FROM, None),
        )

    def sockets(self, pool: Any, wanted: Container[TrackedConnection]) -> Sockets:
        """Find the sockets of connections, through the public ``get_extra_info``."""
        for protocol in tuple(pool._acquired):
            record: Any = getattr(protocol, CONNECTION, None)
            transport = protocol.transport if record in wanted else None
            if transport is not None:
                yield record, transport.get_extra_info("socket")


def _held_before(record: TrackedConnection, protocol: Any) -> str | None:
    # Adopting it counted one request.
    held = record.adopted and not record.leases and record.served <= 1
    return exchange(protocol) if held else None


def _idle(pool: Any, tracker: PoolTracker) -> Iterator[tuple[Any, TrackedConnection]]:
    """The records of the idle connections, each with the key that it is listed under."""
    for key, listed in tuple(pool._conns.items()):
        for protocol, _ in tuple(listed):
            record = getattr(protocol, CONNECTION)
            if record is None or record.tracker is not tracker:
                origin = tracker.origin_of_connection(key.host.encode(), key.port, b"")
                record = record_of_idle(protocol, origin, tracker)
            yield key, record


def _in_use(pool: Any, tracker: PoolTracker) -> tuple[list[tuple[Any, TrackedConnection]], int]:
    """The tracked connections in use, and the number of untracked ones and placeholders."""
    known = []
    others = 0
    for protocol in tuple(pool._acquired):
        record = getattr(protocol, CONNECTION, None)
        if record is not None and record.tracker is tracker:
            known.append((protocol, record))
        else:
            others += 1
    return known, others


def _peer_of(transport: Any, tracker: PoolTracker) -> OriginLedger:
    """The origin of a connection whose request is unknown, by what its transport knows."""
    peer = transport.get_extra_info("peername")
    address, port = peer[:2] if isinstance(peer, tuple) else ("", None)
    host = getattr(transport.get_extra_info("ssl_object"), "server_hostname", None) or address
    return tracker.origin_of_connection(host.encode(), port, b"")


def _unseen_origin(tracker: PoolTracker) -> OriginLedger | None:
    # The origin of requests that began before the instrumentation is unknown. Most pools have one.
    origins = snapshot_of(tracker.ledger.origins.values)
    return origins[0] if len({origin.reported for origin in origins}) == 1 else None


def _has_room(pool: Any, key: Any) -> bool:
    if pool._limit and len(pool._acquired) >= pool._limit:
        return False
    bound = pool._limit_per_host
    there: Any = getattr(pool, "_acquired_per_host", {})
    return not bound or len(there.get(key, ())) < bound


def _bound(limit: int) -> int | None:
    if not isinstance(limit, int):
        raise TypeError("no limit of a version that is known")
    return limit or None


def _tcp_keepalive(pool: Any) -> bool | None:
    # aiohttp turns it on only for a server's sockets, but a socket factory may turn it on as well.
    return None if getattr(pool, "_socket_factory", None) is not None else False

"""TCP state of connections whose peer has been silent for long, read from ``TCP_INFO``.

Most silent peers are working on an answer. A state other than ``unknown`` is reported only with
evidence, such as bytes of the request that are not sent yet. There is no evidence if the path is
lost after everything was acknowledged and keepalive is off, or if a proxy acknowledges data and
discards it.

A socket is read through its object and never by its file descriptor, since the descriptor of a
closed socket can belong to another connection. References to objects of libraries are dropped after
the read.
"""

from __future__ import annotations

import socket
import struct
import sys
from itertools import islice
from typing import Any

from ..concurrency import snapshot_of
from ..pool.durations import nanoseconds
from ..pool.lease import Lease, TrackedConnection, read_states
from ..pool.ledger import PoolLedger
from ..pool.registry import PoolRegistry
from ..pool.tracker import PoolTracker
from ..vocabulary import AWAITING_RESPONSE, READING, SENDING

AVAILABLE = sys.platform == "linux" and hasattr(socket, "TCP_INFO")
MOST_CONNECTIONS = 10
"""Number of connections of a pool that are read in a pass, those with the longest waits first. Each
costs a few microseconds, and the text of a snapshot lists as many requests."""
UNKNOWN = "unknown"
"""State without evidence, as while a provider works on an answer."""
_MILLISECOND = 10**6
_CLOSED, _CLOSE_WAIT = 7, 8
_LOST_AFTER = 2
"""Number of consecutive retransmissions or probes without an answer. A single loss is common."""
_STOPPED_AFTER = 3
"""Number of acknowledged probes of a closed window after which the peer has stopped reading."""
_HEARD_LATELY = 5_000
"""Milliseconds in which a peer that takes data slowly acknowledges some."""
TCP_INFO = struct.Struct("=5B3xI12xI24x2I84xI")
"""State, CA state, retransmits, probes, back-off, RTO (microseconds), unacknowledged segments,
milliseconds since the last data and since the last acknowledgement, and unsent bytes. Linux has
reported all of these since 4.6 (``struct tcp_info`` in ``linux/tcp.h``)."""


_Look = tuple[int, str, int]
"""Three values: `Lease.phase_since` when the socket was read, the state of the peer, and the time
of the peer's last acknowledgement, which is never before the request was sent."""


def peer_state(info: tuple[int, ...], *, keepalive: bool) -> str:
    """Return the state of the peer for which the values of `TCP_INFO` are evidence."""
    state, _, retransmits, probes, backoff, timeout, unacknowledged, _, heard, unsent = info
    if state == _CLOSED:
        return "reset"
    if state == _CLOSE_WAIT:
        return "closed"
    # A peer with a full receive buffer also makes no progress, but it keeps acknowledging. After
    # two unanswered retransmissions, the last acknowledgement is older than half of the current
    # timeout.
    pending = unacknowledged or unsent
    if retransmits >= _LOST_AFTER and pending and heard * 1000 >= timeout // 2:
        return "unacknowledged"
    if keepalive and probes >= _LOST_AFTER and not pending:
        return "unreachable"
    # With no probe pending, the last probe of the closed window was acknowledged. Three of them
    # take over a second, which a peer that only reads slowly does not reach.
    if unsent and backoff >= _STOPPED_AFTER and not unacknowledged and not probes:
        return "not_reading"
    return SENDING if unsent and heard < _HEARD_LATELY else UNKNOWN


class SilentPeers:
    """State of silent peers, read in each pass of the watch.

    ``after`` is the silence in seconds after which a peer is checked; 0 turns the check off.
    """

    def __init__(self, registry: PoolRegistry, after: float) -> None:
        self._registry = registry
        self.after = after if AVAILABLE else None
        """Value of ``peer_check_after``; None if the system can't report the state of a
        connection."""
        self._after = nanoseconds(self.after or 0)
        self._looks: dict[Lease, _Look] = {}
        """Results of the previous pass."""
        self._found: dict[Lease, _Look] = {}
        """Results of the current pass."""
        self._counts: dict[PoolLedger, dict[str, int]] = {}
        """Result of the last `connections`."""

    def state(self, lease: Lease, since: int) -> tuple[str, int] | None:
        """Return the state of a request's peer and when the peer last acknowledged anything.

        ``since`` is when the current wait of the request began. None if it was not checked in that
        wait.
        """
        look = self._looks.get(lease)
        return look[1:] if look is not None and look[0] == since else None

    def connections(self) -> dict[PoolLedger, dict[str, int]]:
        """Count the silent connections of each pool name by the state of the peer.

        A state that occurred before is included with 0. Peers that still take the request are not
        counted.
        """
        found: dict[TrackedConnection, tuple[PoolLedger, str]] = {}
        for lease, (since, peer, _) in self._looks.items():
            connection = lease.connection
            if connection is None or lease.ended_at or lease.phase_since != since:
                continue  # the wait has ended since the pass
            # On HTTP/2, the evidence of one request is about the connection of several.
            if peer == UNKNOWN:
                found.setdefault(connection, (lease.tracker.ledger, peer))
            elif peer != SENDING:
                found[connection] = (lease.tracker.ledger, peer)
        counts = {ledger: dict.fromkeys(states, 0) for ledger, states in self._counts.items()}
        for ledger, peer in found.values():
            states = counts.setdefault(ledger, {})
            states[peer] = states.get(peer, 0) + 1
        self._counts = counts
        return counts

    def check(self, tracker: PoolTracker, now: int) -> None:
        """Read the sockets of those requests of a pool that have waited longest."""
        silent = [
            (since, lease)
            for lease, (_, phase, since, _) in (read_states(tracker.leases) if self._after else ())
            if phase in (AWAITING_RESPONSE, READING) and now - since >= self._after
        ]
        waits: dict[TrackedConnection, list[tuple[int, Lease]]] = {}
        for since, lease in sorted(silent, key=lambda wait: wait[0]):
            connection = lease.connection  # on HTTP/2, several requests share it
            if connection is not None and (connection in waits or len(waits) < MOST_CONNECTIONS):
                waits.setdefault(connection, []).append((since, lease))
        if self._after:
            # Requests that began before are in no list. Adopting a connection counted one request.
            known = (one for one in snapshot_of(tracker.connections.keys) if one.adopted)
            for connection in islice(
                (one for one in known if not one.leases and one.served <= 1), MOST_CONNECTIONS
            ):
                waits[connection] = []
        pool = tracker.live_pool() if waits else None
        if pool is None:
            return
        try:
            for connection, sock in tracker.reader.sockets(pool, waits):
                self._read(sock, waits[connection], connection)
        except Exception as error:  # of an unknown version
            self._registry.failures.caught("silent_peers", error)

    def _read(
        self, sock: Any, waits: list[tuple[int, Lease]], connection: TrackedConnection
    ) -> None:
        try:
            read = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO.size)
            info = TCP_INFO.unpack(read)
            keepalive = bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        except (OSError, ValueError, AttributeError, struct.error):
            return  # closed, not TCP, or not permitted
        data_at, heard_at = (self._registry.clock() - info[i] * _MILLISECOND for i in (7, 8))
        if not waits:
            connection.heard_at = data_at
        for since, lease in waits:
            # If this does not hold, the wait has ended and another request may use the connection.
            if lease.phase_since == since and not lease.ended_at:
                # Bytes that arrived since then are still unread and can be the answer, for example
                # if the loop is blocked. The system's clock ticks at least every 10 ms.
                silent = data_at <= since + 20 * _MILLISECOND
                peer = peer_state(info, keepalive=keepalive) if silent else UNKNOWN
                self._found[lease] = (since, peer, max(heard_at, lease.request_sent_at))

    def passed(self) -> None:
        """End the current pass, and count the waits that ended since the previous pass."""
        for lease, look in self._looks.items():
            origin, (since, peer, _) = lease.origin, look
            lost = peer not in (SENDING, UNKNOWN)
            if lost and lease.ended_at and lease.error is not None:
                origin.lost_peers += 1
            elif lost and not lease.ended_at and lease.phase_since == since:
                # The client has closed the socket, and the request ends next.
                self._found.setdefault(lease, look)
            # The watch makes a pass once a second, so this can include a second of later reads.
            if lease.error is None:
                origin.longest_answered = max(origin.longest_answered, lease.phase_since - since)
        self._looks, self._found = self._found, {}

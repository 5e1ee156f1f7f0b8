"""States of silent peers, read from real sockets, and their counts."""

import contextlib
import gc
import socket
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.pool.lease import Lease
from opentelemetry.instrumentation.gluellm.vocabulary import READING, UNREAD
from opentelemetry.instrumentation.gluellm.watch import silent_peers
from opentelemetry.instrumentation.gluellm.watch.silent_peers import MOST_CONNECTIONS, SilentPeers
from support.waiting import wait_until
from unit.pool.fakes import FakePool, Scene

pytestmark = pytest.mark.skipif(not silent_peers.AVAILABLE, reason="TCP_INFO is Linux's")

AFTER = 0.05
"""Seconds of silence, less than the setting allows, so that the tests are short."""


class Peers:
    """Requests of a scene on real connections to a server that a test controls."""

    def __init__(self, scene: Scene, stack: contextlib.ExitStack) -> None:
        self.scene = scene
        self.stack = stack
        self.checks = SilentPeers(scene.registry, AFTER)
        self.server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

    def send(self) -> tuple[Lease, socket.socket, socket.socket]:
        """A request that was sent, the client's socket and the server's."""
        client = self.stack.enter_context(socket.create_connection(self.server.getsockname()))
        peer = self.stack.enter_context(self.server.accept()[0])
        client.sendall(b"GET /")
        assert peer.recv(5) == b"GET /"
        return self.on(client), client, peer

    def on(self, sock: Any) -> Lease:
        """A request that was sent on a socket and has been silent for long."""
        connection = self.scene.connection(established=True)
        lease = self.scene.acquire(connection)
        self.scene.pool.sockets[connection] = sock
        self.scene.clock.advance(AFTER)
        return lease

    def state(self, lease: Lease) -> str | None:
        """Run a pass; return the state of the request's peer, or None if it was not read."""
        self.checks.check(self.scene.tracker, self.scene.clock())
        self.checks.passed()
        found = self.checks.state(lease, lease.phase_since)
        return None if found is None else found[0]

    def counted(self) -> dict[str, int]:
        """Silent connections of the scene's pool name, by state of the peer."""
        return self.checks.connections().get(self.scene.ledger, {})

    def becomes(self, lease: Lease, state: str) -> None:
        """Check repeatedly until the peer has this state; a wrong state is an error."""
        others = {"unknown": False, "sending": False}
        wait_until(lambda: {**others, state: True}[str(self.state(lease))], state)


@pytest.fixture
def peers(scene: Scene) -> Iterator[Peers]:
    with contextlib.ExitStack() as stack:
        yield Peers(scene, stack)


def test_peer_that_stops_reading_is_recognized_and_forgotten(peers):
    """Its receive buffer is full, and it acknowledges each probe. Then it continues to read."""
    lease, client, peer = peers.send()
    client.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            client.send(bytes(1 << 20))
    # It is not_reading if the test's thread paused for a second or two.
    wait_until(lambda: peers.state(lease) in ("sending", "not_reading"))
    assert peers.counted() in ({}, {"not_reading": 1})
    peers.becomes(lease, "not_reading")
    peer.setblocking(False)

    def drained():
        with contextlib.suppress(BlockingIOError):
            while peer.recv(1 << 20):
                pass
        return peers.state(lease) == "unknown"

    wait_until(drained)


def test_peer_that_has_answered_is_not_lost(peers):
    """It closed after the answer, which a blocked event loop has yet to read."""
    lease, client, peer = peers.send()
    peer.sendall(b"HTTP/1.1 200 OK")
    peer.close()
    wait_until(lambda: client.recv(20, socket.MSG_PEEK))
    peers.scene.clock.advance(400)
    assert peers.state(lease) == "unknown"
    answered_late, before = (peers.on(Answering(state=8, data=age)) for age in (29_000, 40_000))
    peers.scene.clock.advance(30)
    assert peers.state(answered_late) == "unknown"
    assert peers.state(before) == "closed"


INFO: dict[str, int] = {
    "state": 1,
    "ca_state": 0,
    "retransmits": 0,
    "probes": 0,
    "backoff": 0,
    "rto": 204_000,
    "unacknowledged": 0,
    "data": 40_000,
    "heard": 40_000,
    "unsent": 0,
}
RETRANSMITTED = {"retransmits": 4, "rto": 3_264_000, "backoff": 4}


@pytest.mark.parametrize(
    ("values", "keepalive", "state"),
    [
        ({**RETRANSMITTED, "unacknowledged": 1}, False, "unacknowledged"),
        ({**RETRANSMITTED, "unsent": 900}, True, "unacknowledged"),
        ({"retransmits": 1, "backoff": 1, "unacknowledged": 1}, False, "unknown"),
        # It answers each retransmission, without taking the data.
        ({**RETRANSMITTED, "unacknowledged": 1, "heard": 900}, False, "unknown"),
        ({**RETRANSMITTED}, False, "unknown"),
        ({"probes": 2}, True, "unreachable"),
        ({"probes": 1}, True, "unknown"),
        ({"probes": 2}, False, "unknown"),
        # Probes of a closed window. Linux limits how often a peer answers these.
        ({"probes": 2, "unsent": 900, "backoff": 3}, True, "unknown"),
        ({"probes": 0, "unsent": 900, "backoff": 3}, True, "not_reading"),
        ({"probes": 0, "unsent": 900, "backoff": 2}, True, "unknown"),
        ({"unsent": 900}, False, "unknown"),
        ({"unsent": 900, "heard": 300}, False, "sending"),
    ],
)
def test_state_needs_its_evidence(values, keepalive, state):
    """Values as Linux reported them in a network namespace whose packets were dropped."""
    info = tuple({**INFO, **values}.values())
    assert silent_peers.peer_state(info, keepalive=keepalive) == state


class Refusing:
    """A socket object whose options can't be read."""

    def __init__(self, error: Exception | None = None, info: bytes = b"") -> None:
        self.error = error
        self.info = info

    def getsockopt(self, *_: Any) -> Any:
        if self.error is not None:
            raise self.error
        return self.info


@pytest.mark.parametrize(
    "sock",
    [
        None,
        object(),
        Refusing(OSError("not permitted")),
        Refusing(ValueError("closed")),
        Refusing(info=bytes(104)),  # an older kernel's
    ],
    ids=["none", "other object", "not permitted", "closed", "older kernel"],
)
def test_socket_that_cannot_be_read_is_absent(peers, sock):
    """It is no failure of the instrumentation, and the other sockets are read."""
    lease = peers.on(sock)
    other, _, peer = peers.send()
    peer.close()
    peers.becomes(other, "closed")
    assert peers.state(lease) is None
    assert not peers.scene.registry.failures.counts


def test_unix_socket_is_absent(peers):
    with socket.socket(socket.AF_UNIX) as sock:
        assert peers.state(peers.on(sock)) is None


def test_closed_socket_is_absent_although_its_number_is_reused(peers):
    lease, client, _ = peers.send()
    number = client.fileno()
    client.close()
    _, again, peer = peers.send()
    peer.close()
    assert again.fileno() == number
    assert peers.state(lease) is None


def test_reader_that_fails_leaves_the_pass_alone(peers, monkeypatch):
    """A library's version may be unknown. The failure is counted."""

    def fails(*_):
        raise TypeError

    lease, _, _ = peers.send()
    monkeypatch.setattr(type(peers.scene.tracker.reader), "sockets", fails)
    assert peers.state(lease) is None
    assert peers.scene.registry.failures.counts == {"silent_peers": 1}


@pytest.mark.parametrize("change", ["answered", "failed"])
def test_wait_that_ends_during_the_read_has_no_state(peers, change):
    """The connection can serve another request by then."""
    scene = peers.scene

    class Meanwhile(Refusing):
        def getsockopt(self, level, *_):
            if not lease.answered_at and not lease.ended_at:
                scene.clock.advance(1)
                scene.tracker.answered(lease, 200) if change == "answered" else (
                    scene.tracker.failed(lease, "read_timeout")
                )
            return closed if level == socket.IPPROTO_TCP else 0

    state = {**INFO, "state": 8}
    closed = silent_peers.TCP_INFO.pack(*state.values())
    lease = peers.on(Meanwhile())
    since = lease.phase_since
    assert peers.state(lease) is None
    assert peers.checks.state(lease, since) is None


def test_only_the_longest_waits_of_a_pool_are_read(peers):
    leases = [peers.on(Refusing(info=info_of())) for _ in range(MOST_CONNECTIONS + 3)]
    read = [lease for lease in leases if peers.state(lease) is not None]
    assert read == leases[:MOST_CONNECTIONS]
    assert peers.counted() == {"unknown": MOST_CONNECTIONS}


def info_of(**values: int) -> bytes:
    """A TCP_INFO as Linux returns it."""
    return silent_peers.TCP_INFO.pack(*{**INFO, **values}.values())


class Answering(Refusing):
    """A socket object with a TCP_INFO, and SO_KEEPALIVE off."""

    def __init__(self, **values: int) -> None:
        super().__init__(info=info_of(**values))

    def getsockopt(self, level: int, *_: Any) -> Any:
        return self.info if level == socket.IPPROTO_TCP else 0


def test_all_requests_of_an_http2_connection_have_its_state(peers):
    scene = peers.scene
    connection = scene.connection(established=True)
    leases = [scene.acquire(connection) for _ in range(3)]
    scene.pool.sockets[connection] = Answering(state=8)
    scene.clock.advance(AFTER)
    assert [peers.state(lease) for lease in leases] == ["closed"] * 3
    assert peers.counted() == {"closed": 1}


def test_evidence_of_one_request_is_about_its_http2_connection(peers):
    """A later byte may be the answer to the older request only."""
    scene = peers.scene
    connection = scene.connection(established=True)
    older = scene.acquire(connection)
    scene.clock.advance(20)
    younger = scene.acquire(connection)
    scene.clock.advance(10)
    scene.pool.sockets[connection] = Answering(state=8, data=15_000)
    assert [peers.state(lease) for lease in (older, younger)] == ["unknown", "closed"]
    assert peers.counted() == {"closed": 1}


def test_silent_connections_of_ended_waits_are_not_counted(peers):
    """Their states stay with 0, before and after the next pass."""
    closed, thinking, still = (peers.on(Answering(state=state)) for state in (8, 1, 1))
    peers.state(closed)
    assert peers.counted() == {"closed": 1, "unknown": 2}
    peers.scene.tracker.failed(closed, "cancelled")
    peers.scene.clock.advance(1)
    peers.scene.tracker.answered(thinking, 200)
    assert peers.counted() == {"closed": 0, "unknown": 1}
    peers.scene.tracker.answered(still, 200)
    peers.checks.passed()
    assert peers.counted() == {"closed": 0, "unknown": 0}


def test_peer_was_heard_at_the_earliest_when_the_request_was_sent(peers):
    """A reused connection may have been idle before, with nothing to acknowledge."""
    lease = peers.on(Answering(heard=900_000))
    heard_recently = peers.on(Answering(heard=20))
    now = peers.scene.clock()
    for each, heard_at in ((lease, lease.acquired_at), (heard_recently, now - 20_000_000)):
        peers.state(each)
        assert peers.checks.state(each, each.phase_since) == ("unknown", heard_at)


def test_request_that_lost_its_peer_counts_once_when_it_ends(peers):
    """The provider did not cause its read timeout. A request that succeeds had not lost it."""
    scene = peers.scene
    lost, thinking = peers.on(Answering(state=8)), peers.on(Answering())
    answered = peers.on(Answering(state=8))
    assert (peers.state(lost), peers.state(thinking)) == ("closed", "unknown")
    assert scene.origin.lost_peers == 0
    scene.pool.sockets.clear()  # the client closes its sockets first
    assert (peers.state(lost), peers.state(thinking)) == ("closed", None)
    for lease in (lost, thinking):
        scene.tracker.failed(lease, "read_timeout")
    scene.tracker.released(answered)
    for _ in range(2):
        peers.checks.check(scene.tracker, scene.clock())
        peers.checks.passed()
    assert scene.origin.lost_peers == 1
    assert scene.origin.longest_answered == 0


def test_longest_silence_that_was_answered_is_known(peers):
    """It can be before the head or between two reads. A silence that failed does not count."""
    scene = peers.scene
    answered, failed = peers.on(Answering()), peers.on(Answering())
    scene.clock.advance(7)
    scene.tracker.answered(answered, 200)
    scene.clock.advance(100)
    scene.tracker.failed(failed, "read_timeout")
    scene.tracker.released(answered)
    scene.drain()
    assert round(scene.origin.longest_answered / 1e9, 1) == 7.1

    lease = peers.on(Answering())
    scene.tracker.answered(lease, 200)
    lease.enter(READING, scene.clock())
    scene.clock.advance(40)
    assert peers.state(lease) == "unknown"
    scene.clock.advance(0.5)
    lease.enter(READING, scene.clock())
    peers.checks.passed()
    assert scene.origin.longest_answered == 40.5e9

    scene.clock.advance(50)
    assert peers.state(lease) == "unknown"
    scene.clock.advance(0.5)
    lease.note_error("read_timeout")
    lease.enter(UNREAD, scene.clock())
    peers.checks.passed()
    assert scene.origin.longest_answered == 40.5e9


def test_time_in_the_queue_is_no_silence(scene):
    lease = scene.queue()
    scene.clock.advance(30)
    scene.tracker.assigned(lease, scene.connection(established=True))
    scene.clock.advance(2)
    scene.serve(lease)
    scene.drain()
    assert scene.origin.longest_answered == 2e9


def test_nothing_is_read_if_it_is_off_or_not_available(peers, monkeypatch):
    lease = peers.on(Answering(state=8))
    peers.checks = SilentPeers(peers.scene.registry, 0)
    assert peers.state(lease) is None
    assert peers.checks.after == 0
    assert peers.counted() == {}
    monkeypatch.setattr(silent_peers, "AVAILABLE", False)
    peers.checks = SilentPeers(peers.scene.registry, AFTER)
    assert peers.state(lease) is None
    assert peers.checks.after is None
    assert peers.counted() == {}


def test_checks_keep_no_pool_and_no_socket_alive(peers):
    class Socket(Answering):
        pass

    pool, sock = FakePool(), Socket()
    gone = [weakref.ref(pool), weakref.ref(sock)]
    scene = peers.scene
    scene.pool = pool
    scene.tracker = scene.track(pool)
    lease = peers.on(sock)
    assert peers.state(lease) == "unknown"
    del pool, sock
    scene.pool = None
    gc.collect()
    assert [reference() for reference in gone] == [None, None]

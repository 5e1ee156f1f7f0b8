"""Records of connections that a pool drops without closing them."""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm.pool.lease import close_missing
from unit.pool.fakes import Scene


def test_missing_connection_is_closed_in_the_second_pass(scene: Scene) -> None:
    """In the first, the connection may just be changing hands."""
    connection = scene.connection(established=True)
    close_missing(scene.tracker, ())
    assert not connection.closed
    close_missing(scene.tracker, ())
    assert connection.closed
    assert scene.ledger.closed == {"garbage_collected": 1}


def test_connection_that_is_listed_or_has_a_request_is_not_missing(scene: Scene) -> None:
    """Each time, passes are counted anew."""
    connection = scene.connection(established=True)
    close_missing(scene.tracker, ())
    close_missing(scene.tracker, {connection})
    close_missing(scene.tracker, ())
    lease = scene.acquire(connection)
    close_missing(scene.tracker, ())
    scene.tracker.released(lease)
    close_missing(scene.tracker, ())
    assert not connection.closed

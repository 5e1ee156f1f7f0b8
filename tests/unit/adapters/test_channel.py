"""States of channels and steps of calls, while other threads report others."""

import pytest

from opentelemetry.instrumentation.gluellm.adapters.grpc.channel import (
    BEING_CONNECTED,
    READY,
    SHUTDOWN,
    ChannelTracker,
)
from opentelemetry.instrumentation.gluellm.adapters.grpc.channels import ChannelReader
from opentelemetry.instrumentation.gluellm.pool.ledger import Owner
from opentelemetry.instrumentation.gluellm.vocabulary import AWAITING_RESPONSE
from unit.pool.fakes import SECOND, FakePool, Scene


@pytest.fixture
def scene() -> Scene:
    """A channel that is being connected."""
    scene = Scene()
    scene.pool, reader = FakePool(), ChannelReader()
    scene.tracker = scene.registry.track(
        scene.pool,
        reader,
        owner=Owner("xai", "xai"),
        library="grpc",
        kind=ChannelTracker,
        adopt=reader.adopt,
    )
    scene.ledger = scene.tracker.ledger
    scene.tracker.seen(BEING_CONNECTED)
    scene.clock.advance(10.0)
    return scene


def test_closed_channel_stays_in_shutdown_if_an_earlier_reading_comes_later(scene):
    def close() -> None:
        scene.tracker.seen(SHUTDOWN)
        scene.tracker.discard("closed")

    scene.let_in(close)
    scene.tracker.seen(READY)
    assert scene.ledger.states() == {**dict.fromkeys(scene.ledger.states(), 0), "shutdown": 1}
    assert scene.ledger.counters(scene.clock())["state_time", "connecting"] == 10 * SECOND


def test_call_is_sent_if_its_channel_becomes_ready_while_it_joins_the_queue(scene):
    """Its acquire and its lease have a duration."""
    lease = scene.tracker.begin(b"api.test", None, b"https")
    scene.let_in(lambda: scene.tracker.seen(READY))
    scene.tracker.call_entered(lease, waits=True, timeout=None)
    assert lease.phase == AWAITING_RESPONSE
    assert lease.acquired_at == scene.clock()
    assert scene.ledger.queued.value == 0

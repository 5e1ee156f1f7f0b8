"""A reader that lives on what its SDK has read ahead has not left."""

from __future__ import annotations

import pytest

from opentelemetry.instrumentation.gluellm.pool.lease import Call, Lease
from opentelemetry.instrumentation.gluellm.pool.watch import Watch
from unit.pool.fakes import Scene

THRESHOLD = 60.0


@pytest.fixture
def scene() -> Scene:
    """One pool."""
    return Scene()


@pytest.fixture
def watch(scene: Scene) -> Watch:
    """A watch that looks only when a test says so."""
    return Watch(scene.registry, leak_threshold=THRESHOLD, loop_lag=None)


def unread(scene: Scene, call: Call) -> Lease:
    """A request of a call that was answered, and whose response nobody reads."""
    connection = scene.connection(established=True)
    connection.reads_told = True
    lease = scene.enter(call)
    scene.tracker.assigned(lease, connection)
    scene.tracker.answered(lease, 200)
    return lease


def test_steps_without_a_read_are_no_leak(scene: Scene, watch: Watch) -> None:
    """A step a second, for ten times the threshold, and nothing is read of the pool."""
    call = Call("openai", "m")
    unread(scene, call)
    for _ in range(int(THRESHOLD * 10)):
        call.steps += 1
        scene.clock.advance(1)
        watch.look()
    assert scene.recorder.told("leak_suspected") == []


def test_leak_is_found_after_the_last_step(scene: Scene, watch: Watch) -> None:
    """The threshold counts from the look that saw the step, and it is told once."""
    call = Call("openai", "m")
    lease = unread(scene, call)
    scene.clock.advance(THRESHOLD - 1)
    call.steps += 1
    watch.look()
    scene.clock.advance(THRESHOLD - 1)
    watch.look()
    assert scene.recorder.told("leak_suspected") == []
    scene.clock.advance(1)
    watch.look()
    assert scene.recorder.told("leak_suspected") == [(lease,)]


def test_step_after_a_suspicion_ends_it(scene: Scene, watch: Watch) -> None:
    """Told as read again; and again as a leak after another threshold, though it counts once."""
    call = Call("openai", "m")
    lease = unread(scene, call)
    scene.clock.advance(THRESHOLD)
    watch.look()
    call.steps += 1
    scene.clock.advance(1)
    watch.look()
    assert scene.recorder.told("leak_over") == [(lease, "read")]
    assert not lease.suspected
    scene.clock.advance(THRESHOLD)
    watch.look()
    assert len(scene.recorder.told("leak_suspected")) == 2
    assert scene.ledger.leaks == 1

"""The note on a pool timeout: the pool's state, its holders, and only one note."""

import re
import traceback
from datetime import UTC, datetime

import pytest

from opentelemetry.instrumentation.gluellm.pool.call import Call
from opentelemetry.instrumentation.gluellm.pool.lease import ConnectionView, Lease
from opentelemetry.instrumentation.gluellm.snapshots.pool_timeout_note import NoteObserver
from unit.pool.fakes import Scene

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


class PoolTimeoutError(Exception):
    """Stand-in for the library's exception."""


@pytest.fixture
def scene() -> Scene:
    """A pool of one connection, held for a minute by an unread response."""
    scene = Scene(NoteObserver())
    scene.pool.maximum = 1
    record = scene.connection(established=True)
    lease = scene.acquire(record, Call("openai", "gpt-4o"))
    scene.tracker.answered(lease, 200)
    scene.pool.views = [ConnectionView(record, "active", True, None)]
    scene.clock.advance(60)
    return scene


def time_out(scene: Scene, error: Exception, seconds: float = 5.0) -> Lease:
    """Let a request time out in the queue."""
    lease = scene.queue(seconds)
    scene.clock.advance(seconds)
    scene.registry.observer.lease_timed_out(lease, error)
    scene.tracker.failed(lease, "pool_timeout")
    return lease


def notes(error: BaseException) -> list[str]:
    """The notes of an exception."""
    return list(getattr(error, "__notes__", ()))


def test_note_has_state_wait_and_holders(scene):
    """It has everything that the contract lists, on one line."""
    error = PoolTimeoutError("as it was")
    time_out(scene, error)
    (note,) = notes(error)
    assert re.fullmatch(
        r"Connection pool openai/httpx2: max 1, active 1, idle 0, connecting 0, queued 1\. "
        rf"This request waited 5\.0 s, from {TIME} to {TIME}; "
        r"longest holders: \(1\) 65 s, unread for 65 s, provider openai, model gpt-4o\.",
        note,
    )


def test_pool_timeout_gets_one_note(scene):
    """Other notes stay. With nested transports, the inner pool has already added one."""
    cause = ValueError("cause")
    error = PoolTimeoutError("as it was")
    error.__cause__ = cause
    error.add_note("from the application")
    time_out(scene, error)
    time_out(scene, error)
    assert (type(error), error.args, error.__cause__) == (PoolTimeoutError, ("as it was",), cause)
    assert len(notes(error)) == 2
    assert notes(error)[0] == "from the application"
    assert "Connection pool openai" in "".join(traceback.format_exception(error))


def test_note_has_the_times_of_the_wait_in_utc(scene):
    """The wait starts when the request last queued, as for the library's timeout."""
    error, call = PoolTimeoutError(), Call("openai", "gpt-4o")
    scene.tracker.failed(scene.enter(call), "pool_timeout")
    lease = scene.enter(call)
    for seconds in (4, 30):
        scene.tracker.waiting(lease, 30.0)
        scene.clock.advance(seconds)
    scene.registry.observer.lease_timed_out(lease, error)
    assert "This request, number 2 of its call, waited 30 s" in notes(error)[0]
    began, ended = (
        datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z")
        for text in re.findall(TIME, notes(error)[0])
    )
    assert abs((ended - began).total_seconds() - 30) < 0.01
    assert abs((datetime.now(UTC) - ended).total_seconds()) < 5


def test_error_that_takes_no_note_is_unchanged(scene):
    """The failure is counted and not raised."""

    class Stubborn(Exception):  # noqa: N818
        def add_note(self, _):
            raise TypeError

    error = Stubborn()
    time_out(scene, error)
    assert notes(error) == []
    assert scene.registry.failures.counts == {"observer.lease_timed_out": 1}

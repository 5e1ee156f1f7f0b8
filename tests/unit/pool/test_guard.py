"""What an observer raises stays with us."""

from __future__ import annotations

import inspect

import pytest

from opentelemetry.instrumentation.gluellm.pool.guard import Failures, Guard
from opentelemetry.instrumentation.gluellm.pool.observer import PoolObserver
from unit.pool.fakes import Recorder, Scene

EVENTS = [name for name in vars(PoolObserver) if not name.startswith("_")]


def _fail(self: object, *arguments: object) -> None:
    raise RuntimeError("sk-secret")


class Broken(PoolObserver):
    """Overrides every event with a method that raises."""


for _event in EVENTS:
    setattr(Broken, _event, _fail)


def arguments_of(event: str) -> list[object]:
    """As many arguments as the event takes."""
    return [object()] * (len(inspect.signature(getattr(PoolObserver, event)).parameters) - 1)


@pytest.mark.parametrize("event", EVENTS)
def test_raising_observer_is_caught_counted_and_others_are_told(event: str) -> None:
    """Whichever event it is, and whether the raising observer comes first or last."""
    failures = Failures()
    first, last = Recorder(), Recorder()
    guard = Guard((first, Broken(), last), failures)
    arguments = arguments_of(event)
    getattr(guard, event)(*arguments)
    getattr(guard, event)(*arguments)
    assert first.events == last.events == [(event, tuple(arguments))] * 2
    assert failures.counts == {f"observer.{event}": 2}


@pytest.mark.parametrize("event", EVENTS)
def test_single_raising_observer_is_caught(event: str) -> None:
    """The short way for one listener catches as well."""
    failures = Failures()
    getattr(Guard((Broken(),), failures), event)(*arguments_of(event))
    assert failures.counts == {f"observer.{event}": 1}


@pytest.mark.parametrize("event", EVENTS)
def test_event_that_nobody_overrides_does_nothing(event: str) -> None:
    """The observer's own defaults are not called."""
    failures = Failures()
    getattr(Guard((PoolObserver(),), failures), event)(*arguments_of(event))
    assert failures.counts == {}


def test_guard_does_not_swallow_what_is_no_failure() -> None:
    """KeyboardInterrupt and cancellation are the host's."""

    class Interrupted(PoolObserver):
        def lease_requeued(self, lease: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Guard((Interrupted(),), Failures()).lease_requeued(object())  # type: ignore[arg-type]


def test_failures_are_reported_once_per_kind() -> None:
    """Counted each time, told once."""
    failures = Failures()
    for _ in range(3):
        failures.caught("read", ValueError("x"))
    failures.caught("collection", KeyError("y"))
    assert list(failures.unreported()) == [("read", "ValueError"), ("collection", "KeyError")]
    failures.caught("read", ValueError("x"))
    assert list(failures.unreported()) == []
    assert failures.counts == {"read": 4, "collection": 1}


def test_report_of_a_failure_has_no_message() -> None:
    """An exception's message can hold a URL or a key: only its type is told."""
    failures = Failures()
    failures.caught("observer.lease_queued", RuntimeError("https://api.test/?key=sk-secret"))
    assert "secret" not in repr(list(failures.unreported()))


def test_request_goes_its_way_past_a_broken_observer() -> None:
    """All counts are right, though the observer raises at each event."""
    scene = Scene(Broken(), entry_context=object)
    lease = scene.enter()
    connection = scene.connection()
    scene.tracker.waiting(lease)
    scene.tracker.assigned(lease, connection)
    scene.tracker.established(connection, "1.1")
    scene.tracker.answered(lease, 200)
    scene.tracker.released(lease)
    connection.close("pool_closed")
    scene.tracker.discard("closed")
    scene.work_off()
    assert scene.requests() == {(200, None, False): 1}
    assert scene.ledger.closed == {"pool_closed": 1}
    assert scene.registry.failures.counts == {
        "observer.lease_queued": 1,
        "observer.connection_created": 1,
        "observer.lease_waited": 1,
        "observer.lease_answered": 1,
        "observer.connection_closed": 1,
        "observer.pool_discarded": 1,
        "observer.pool_opened": 1,
    }

"""Records of connections that a pool drops without closing them."""

from opentelemetry.instrumentation.gluellm.pool.lease import close_missing
from opentelemetry.instrumentation.gluellm.vocabulary import CONNECT, OTHER_STEP, RESOLVE, TLS
from unit.pool.fakes import Scene


def test_connection_that_is_missing_for_a_second_is_closed(scene):
    """Before, it may be between two requests, and several threads may look for it."""
    connection = scene.connection(established=True)
    for _ in range(2):
        close_missing(scene.tracker, ())
    assert not connection.closed
    scene.clock.advance(1.0)
    close_missing(scene.tracker, ())
    assert connection.closed
    assert scene.ledger.closed == {"garbage_collected": 1}


def test_connection_that_is_listed_or_has_a_request_is_not_missing(scene):
    """Each time, the wait of one second restarts."""
    connection = scene.connection(established=True)
    close_missing(scene.tracker, ())
    scene.clock.advance(1.0)
    close_missing(scene.tracker, {connection})
    close_missing(scene.tracker, ())
    lease = scene.acquire(connection)
    scene.clock.advance(1.0)
    close_missing(scene.tracker, ())
    scene.tracker.released(lease)
    close_missing(scene.tracker, ())
    assert not connection.closed


def steps_of(scene: Scene) -> list[int]:
    _, counts = scene.registry.state(scene.clock())
    return counts.steps[scene.origin]


def test_steps_of_a_set_up_add_up_while_it_runs_and_after_it_ended(scene):
    """This includes one that is dropped. Steps after the end do not count."""
    connection = scene.connection()
    began = scene.clock()
    connection.set_up(OTHER_STEP, began)
    assert connection.enter_step(RESOLVE, began + 1, OTHER_STEP)
    assert not connection.enter_step(RESOLVE, began + 2, CONNECT)
    connection.enter_step(CONNECT, began + 3)
    connection.set_up(RESOLVE, began + 7)  # a further attempt
    scene.clock.advance(1.0)
    running = steps_of(scene)
    assert [running[step] for step in (OTHER_STEP, CONNECT)] == [1, 4]
    assert sum(running) == scene.clock() - began
    connection.close("garbage_collected")
    assert steps_of(scene) == running
    assert not connection.enter_step(TLS, scene.clock())
    scene.clock.advance(1.0)
    assert steps_of(scene) == running

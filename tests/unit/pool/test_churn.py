"""Clients that are built and thrown away, counted origin by origin on a fake clock."""

from __future__ import annotations

import pytest

from opentelemetry.instrumentation.gluellm.pool.churn import Churn
from unit.pool.fakes import FakePool, Scene

HOST = b"churned.test"


@pytest.fixture
def scene() -> Scene:
    """One pool that has nothing to do with it."""
    return Scene()


@pytest.fixture
def churn(scene: Scene) -> Churn:
    """Looked by hand."""
    return Churn(scene.registry)


def build(scene: Scene, pools: int, requests: int = 1, name: str = "groq") -> None:
    """Pools of one origin, gone at once, each with so many requests."""
    for _ in range(pools):
        pool = FakePool()
        tracker = scene.track(pool, name, name)
        for _ in range(requests):
            lease = tracker.begin(HOST, None, b"https", None)
            tracker.failed(lease, "connection_error")


def told(scene: Scene) -> list[tuple[str, str, int, int]]:
    """Pool name, address, pools and requests of what was told."""
    return [
        (origin.pool.name, origin.address, pools, requests)
        for origin, pools, requests, *_ in scene.recorder.told("clients_churned")
    ]


def test_a_client_for_each_call_is_churn(scene: Scene, churn: Churn) -> None:
    """Ten pools with a request each."""
    build(scene, 10)
    churn.look()
    assert told(scene) == [("groq", "churned.test", 10, 10)]


def test_clients_that_stay_are_no_churn(scene: Scene, churn: Churn) -> None:
    """One for each tenant, say, that has just begun."""
    kept = [FakePool() for _ in range(49)]
    for pool in kept:
        tracker = scene.track(pool, "groq", "groq")
        tracker.failed(tracker.begin(HOST, None, b"https", None), "connection_error")
    churn.look()
    assert told(scene) == []


def test_so_many_are_churn_though_no_garbage_collector_came(scene: Scene, churn: Churn) -> None:
    """They are alive, and nobody needs that many."""
    kept = [FakePool() for _ in range(50)]
    for pool in kept:
        tracker = scene.track(pool, "groq", "groq")
        tracker.failed(tracker.begin(HOST, None, b"https", None), "connection_error")
    churn.look()
    assert [pools for _, _, pools, _ in told(scene)] == [50]


def test_what_was_counted_before_is_not_judged(scene: Scene) -> None:
    """By an installation that is gone: it was not in the last minute."""
    build(scene, 20)
    Churn(scene.registry).look()
    assert told(scene) == []


def test_nine_pools_can_be_what_a_program_needs(scene: Scene, churn: Churn) -> None:
    """One for each worker."""
    build(scene, 9)
    churn.look()
    assert told(scene) == []


def test_pools_that_are_used_are_no_churn(scene: Scene, churn: Churn) -> None:
    """Three requests each: most of them found a connection."""
    build(scene, 20, requests=3)
    churn.look()
    assert told(scene) == []


def test_pools_of_several_looks_add_up_within_a_minute(scene: Scene, churn: Churn) -> None:
    """The look is once a second, and a client for each call may come every five."""
    for _ in range(11):
        build(scene, 1)
        churn.look()
        scene.clock.advance(5)
    assert [pools for _, _, pools, _ in told(scene)] == [10]


def test_pools_that_come_slowly_are_no_churn(scene: Scene, churn: Churn) -> None:
    """Eight a minute for an hour: nobody is hurt."""
    for _ in range(60 * 8):
        build(scene, 1)
        churn.look()
        scene.clock.advance(60 / 8)
    assert told(scene) == []


def test_numbers_told_are_those_since_it_was_last_told(scene: Scene, churn: Churn) -> None:
    """Not those of the whole process."""
    build(scene, 12)
    churn.look()
    build(scene, 30, requests=2)
    churn.look()
    assert [numbers[2:] for numbers in told(scene)] == [(12, 12), (30, 60)]


def test_what_was_well_used_before_hides_no_churn(scene: Scene, churn: Churn) -> None:
    """A thousand requests of an hour ago have nothing to do with it."""
    build(scene, 1, requests=1000)
    churn.look()
    scene.clock.advance(3600)
    churn.look()
    build(scene, 10)
    churn.look()
    assert told(scene) == [("groq", "churned.test", 10, 10)]


def test_names_are_told_apart(scene: Scene, churn: Churn) -> None:
    """Nine pools of one provider and nine of another are no churn of either."""
    build(scene, 9, name="groq")
    build(scene, 9, name="mistral")
    churn.look()
    assert told(scene) == []


def test_one_pool_with_many_hosts_is_no_churn() -> None:
    """Beyond the bound all origins go by one name, and one pool asks for it once."""
    scene = Scene(max_origins=15)
    for number in range(14):
        scene.tracker.origin(b"known-%d.test" % number, None, b"https")
    churn = Churn(scene.registry)
    pool = FakePool()
    tracker = scene.track(pool)
    for number in range(50):
        lease = tracker.begin(b"host-%d.test" % number, None, b"https", None)
        tracker.failed(lease, "connection_error")
    other = scene.ledger.origins["_OTHER", None, "openai"]
    assert (other.pools, other.entered) == (1, 50)
    churn.look()
    assert told(scene) == []


def test_many_origins_under_one_name_are_no_churn() -> None:
    """A pool for each of many hosts can't be shared."""
    scene = Scene(max_origins=1)
    churn = Churn(scene.registry)
    for number in range(30):
        pool = FakePool()
        tracker = scene.track(pool)
        tracker.failed(tracker.begin(b"host-%d.test" % number, None, b"https", None), "cancelled")
    churn.look()
    assert told(scene) == []


def test_clear_forgets_what_the_parent_process_counted(scene: Scene, churn: Churn) -> None:
    """As in a forked child, whose ledgers begin at 0."""
    build(scene, 9)
    churn.look()
    churn.clear()
    scene.registry.forget()
    build(scene, 9)
    churn.look()
    assert told(scene) == []

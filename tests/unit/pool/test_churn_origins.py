"""Client churn at one origin, beside other pools of the same name."""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm.pool.churn import Churn
from opentelemetry.instrumentation.gluellm.pool.lease import Call
from unit.pool.fakes import FakePool, Scene


def build(scene: Scene, pools: int, host: bytes, *calls: Call | None) -> list[FakePool]:
    """Pools of one name, each with a request in each of these calls. They are gone unless kept."""
    made = [FakePool() for _ in range(pools)]
    for pool in made:
        tracker = scene.track(pool, "httpx", None)
        for call in calls or (None,):
            tracker.failed(tracker.begin(host, None, b"https", call), "connection_error")
    return made


def churned(scene: Scene) -> list[str]:
    """The origins that were reported."""
    return [origin.address for origin, *_ in scene.recorder.told("clients_churned")]


def test_pools_discarded_at_another_origin_are_not_counted() -> None:
    """Ten clients that an application keeps for one origin are no churn."""
    scene = Scene()
    churn = Churn(scene.registry)
    kept = build(scene, 10, b"kept.test")
    build(scene, 5, b"other.test")
    churn.look()
    assert churned(scene) == []
    del kept
    churn.look()
    assert churned(scene) == ["kept.test"]


def test_pool_of_two_providers_is_discarded_once() -> None:
    """The origin has a ledger for each provider. Four of ten clients are gone, then five."""
    scene = Scene()
    churn = Churn(scene.registry)
    calls = Call("openai"), Call("anthropic")
    kept = build(scene, 6, b"shared.test", *calls)
    build(scene, 4, b"shared.test", *calls)
    churn.look()
    assert churned(scene) == []
    del kept[0]
    churn.look()
    assert churned(scene) == ["shared.test"]

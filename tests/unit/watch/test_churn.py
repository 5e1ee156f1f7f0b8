"""Clients that are built and discarded, counted by origin on a fake clock."""

import pytest

from opentelemetry.instrumentation.gluellm.pool.call import Call
from opentelemetry.instrumentation.gluellm.watch.churn import Churn
from unit.pool.fakes import FakePool, Scene

HOST = b"churned.test"


@pytest.fixture
def churn(scene: Scene) -> Churn:
    """Churn detection, which a test runs by hand."""
    return Churn(scene.registry)


def build(
    scene: Scene,
    pools: int,
    requests: int = 1,
    name: str = "groq",
    host: bytes = HOST,
    calls: tuple[Call | None, ...] = (None,),
) -> list[FakePool]:
    """Build pools of one origin with requests; they are discarded unless the caller keeps them."""
    made = []
    for _ in range(pools):
        made.append(FakePool())
        tracker = scene.track(made[-1], name, name)
        for call in calls * requests:
            tracker.failed(tracker.begin(host, None, b"https", call), "connection_error")
    return made


@pytest.mark.parametrize(
    ("pools", "requests", "kept", "fires"),
    [
        *[(10, 1, False, True), (9, 1, False, False), (20, 3, False, False)],
        *[(10, 2, False, True), (49, 1, True, False), (50, 1, True, True)],
    ],
)
def test_many_pools_with_few_requests_are_churn_unless_they_are_kept(
    scene, churn, pools, requests, kept, fires
):
    """Fifty are churn without a garbage collection: no application needs that many."""
    made = build(scene, pools, requests)
    if not kept:
        made.clear()
    churn.check()
    expected = [("groq", "churned.test", pools, pools * requests)]
    assert churn_events(scene) == (expected if fires else [])


def churn_events(scene: Scene) -> list[tuple[str, str, int, int]]:
    """Pool name, address, pools and requests of each report."""
    return [
        (origin.pool.name, origin.address, pools, requests)
        for origin, pools, requests, *_ in scene.recorder.args("clients_churned")
    ]


def test_pools_of_an_earlier_installation_are_not_churn(scene):
    """They were not built in the last minute."""
    build(scene, 20)
    Churn(scene.registry).check()
    assert churn_events(scene) == []


def test_pools_of_several_passes_add_up_within_a_minute(scene, churn):
    """A pass runs each second, and a client per call may be built every five seconds."""
    for _ in range(11):
        build(scene, 1)
        churn.check()
        scene.clock.advance(5)
    assert [pools for _, _, pools, _ in churn_events(scene)] == [10]


def test_slowly_built_pools_are_no_churn(scene, churn):
    """These are eight per minute for an hour."""
    for _ in range(60 * 8):
        build(scene, 1)
        churn.check()
        scene.clock.advance(60 / 8)
    assert churn_events(scene) == []


def test_churn_is_reported_with_numbers_since_the_last_report(scene, churn):
    build(scene, 12)
    churn.check()
    build(scene, 30, requests=2)
    churn.check()
    assert [numbers[2:] for numbers in churn_events(scene)] == [(12, 12), (30, 60)]


def test_earlier_requests_do_not_hide_churn(scene, churn):
    """A thousand requests were sent an hour ago."""
    build(scene, 1, requests=1000)
    churn.check()
    scene.clock.advance(3600)
    churn.check()
    build(scene, 10)
    churn.check()
    assert churn_events(scene) == [("groq", "churned.test", 10, 10)]


@pytest.mark.parametrize(("pools", "known"), [(1, 14), (30, 0)])
def test_many_hosts_beyond_the_bound_are_no_churn(pools, known):
    """All share one name, whether one pool or many send requests to them."""
    scene = Scene(max_origins=known + 1)
    for number in range(known):
        scene.tracker.origin(b"known-%d.test" % number, None, b"https")
    churn = Churn(scene.registry)
    kept = [FakePool()]
    tracker = scene.track(kept[0])
    for number in range(50):
        if pools > 1:
            kept = [FakePool()]
            tracker = scene.track(kept[0])
        lease = tracker.begin(b"host-%d.test" % number, None, b"https", None)
        tracker.failed(lease, "connection_error")
    if pools == 1:
        other = scene.ledger.origins["_OTHER", None, "openai"]
        assert (other.pools, other.entered) == (1, 50)
    churn.check()
    assert churn_events(scene) == []


def test_clear_forgets_what_the_parent_process_counted(scene, churn):
    """A forked child calls it; its ledgers start at 0."""
    build(scene, 9)
    churn.check()
    churn.clear()
    scene.registry.forget()
    build(scene, 9)
    churn.check()
    assert churn_events(scene) == []


# With other pools of the same name


def test_pools_discarded_at_another_origin_are_not_counted(scene, churn):
    """Ten clients that an application keeps for one origin are no churn."""
    kept = build(scene, 10, host=b"kept.test")
    build(scene, 5, host=b"other.test")
    churn.check()
    assert churn_events(scene) == []
    del kept
    churn.check()
    assert [one[1] for one in churn_events(scene)] == ["kept.test"]


def test_pool_of_two_providers_is_discarded_once(scene, churn):
    """The origin has a ledger for each provider. Four of ten clients are gone, then five."""
    calls = Call("openai"), Call("anthropic")
    kept = build(scene, 6, host=b"shared.test", calls=calls)
    build(scene, 4, host=b"shared.test", calls=calls)
    churn.check()
    assert churn_events(scene) == []
    del kept[0]
    churn.check()
    assert [one[1] for one in churn_events(scene)] == ["shared.test"]

"""Names and origins within bounds, the state of all pools, and their end."""

import gc

import pytest

from opentelemetry.instrumentation.gluellm.pool.call import Call
from opentelemetry.instrumentation.gluellm.pool.lease import TrackedConnection
from opentelemetry.instrumentation.gluellm.pool.ledger import (
    MAX_NAMES,
    MAX_ORIGIN_LEDGERS,
    OTHER,
    Owner,
)
from opentelemetry.instrumentation.gluellm.pool.registry import PoolRegistry
from opentelemetry.instrumentation.gluellm.pool.tracker import PoolTracker
from opentelemetry.instrumentation.gluellm.vocabulary import PHASES, QUEUED, READING, UNREAD
from unit.pool.fakes import Clock, FakePool, Scene, read

TEN_MINUTES = 600.0


def track(registry: PoolRegistry, pool: FakePool, name: str, library: str = "httpx") -> PoolTracker:
    """Track a pool under a name, without a provider."""
    return registry.track(pool, read, owner=Owner(name, None), library=library)


# Names


def test_pools_of_one_name_and_library_share_a_ledger():
    registry, pools = PoolRegistry(clock=Clock()), [FakePool() for _ in range(3)]
    first, second = (track(registry, pool, "openai").ledger for pool in pools[:2])
    assert first is second is not track(registry, pools[2], "openai", "httpx2").ledger


def test_threads_that_send_the_first_request_at_once_get_one_tracker():
    """The second one finds the tracker that the first one is about to store on the pool."""
    registry, pool = PoolRegistry(clock=Clock()), FakePool()
    others = []

    def adopt(_, tracker):
        assert tracker.open
        others.append(track(registry, pool, "openai"))

    owner = Owner("openai", None)
    tracker = registry.track(pool, read, owner=owner, library="httpx", adopt=adopt)
    assert others == [tracker]
    assert tracker.ledger.live == tracker.ledger.pools_opened == 1


def test_pool_whose_tracking_is_interrupted_gets_another_tracker():
    """A signal handler can raise before the tracker is stored on the pool."""
    registry, pool = PoolRegistry(clock=Clock()), FakePool()

    def interrupted(*_):
        raise KeyboardInterrupt

    owner = Owner("openai", None)
    with pytest.raises(KeyboardInterrupt):
        registry.track(pool, read, owner=owner, library="httpx", adopt=interrupted)
    assert not registry.trackers
    assert track(registry, pool, "openai").ledger.live == 1


def test_names_are_bounded():
    """The fifty-first name and all later ones are _OTHER, without a provider."""
    registry = PoolRegistry(clock=Clock())
    pools = [FakePool() for _ in range(MAX_NAMES + 31)]
    owners = [Owner(f"pool-{number % (MAX_NAMES + 30)}", "openai") for number in range(len(pools))]
    ledgers = [
        registry.track(pool, read, owner=owner, library="httpx").ledger
        for pool, owner in zip(pools, owners, strict=True)
    ]
    assert MAX_NAMES == 50
    assert len({ledger.name for ledger in ledgers}) == MAX_NAMES + 1
    other = ledgers[-2]
    assert (other.name, other.provider, other.live) == (OTHER, None, 30)
    assert ledgers[-1] is ledgers[0]


def test_ledgers_of_name_and_origin_are_bounded():
    """Fifty names with two hundred origins each would be 60 000 series of phases."""
    registry = PoolRegistry(clock=Clock(), max_origins=200)
    pools = [FakePool() for _ in range(MAX_NAMES + 5)]
    for number, pool in enumerate(pools):
        tracker = track(registry, pool, f"pool-{number}")
        for origin in range(220):
            tracker.origin(b"host-%d" % origin, 80, b"http")
    pairs = [
        (ledger.name, key) for ledger in registry.ledgers.pools.values() for key in ledger.origins
    ]
    others = [pair for pair in pairs if pair[1] == (OTHER, None, None)]
    assert len(pairs) - len(others) == MAX_ORIGIN_LEDGERS
    assert len(others) <= MAX_NAMES + 1
    assert len(pairs) * len(PHASES) < 1500


# Origins


@pytest.mark.parametrize(
    ("host", "port", "scheme", "expected"),
    [
        (b"api.test", None, b"http", ("api.test", 80)),
        (b"api.test", None, b"https", ("api.test", 443)),
        (b"api.test", None, b"wss", ("api.test", 443)),
        (b"API.Test", 8443, b"https", ("api.test", 8443)),
        *(
            (host, 80, b"http", (host.decode(), 80))
            for host in (b"::1", b"127.0.0.1", b"xn--bcher-kva.example", b"a_b.test")
        ),
        *(
            (host, 80, b"http", (OTHER, None))
            for host in (b"", b"sk-secret value", b"user:pass@host", b"h\xff\xfe", b"a" * 300)
        ),
        *((host, 80, b"http", (OTHER, None)) for host in (b"host/path", b"h?q=1")),
    ],
)
def test_origin_is_a_host_in_lower_case_and_its_port(scene, host, port, scheme, expected):
    """https://api.test is https://api.test:443; an invalid host is not reported."""
    origin = scene.tracker.origin(host, port, scheme)
    assert (origin.address, origin.port) == expected
    if expected[0] == "api.test":
        assert scene.tracker.origin(b"api.test", expected[1], scheme) is origin


def test_origins_of_the_process_are_bounded():
    """Beyond max_origins an address is _OTHER, in every pool; known ones stay known everywhere."""
    scene = Scene(max_origins=3)
    other_pool = FakePool()
    other = scene.track(other_pool, "anthropic", "anthropic")
    seen = [scene.tracker.origin(b"host-%d" % number, 80, b"http") for number in range(500)]
    # api.test is the scene's own.
    assert [origin.address for origin in seen[:4]] == ["host-0", "host-1", OTHER, OTHER]
    assert {origin.port for origin in seen[2:]} == {None}
    assert other.origin(b"host-9", 80, b"http").address == OTHER
    assert other.origin(b"host-0", 80, b"http").address == "host-0"
    assert len(scene.tracker._origins) <= 3  # a crawler's pool doesn't remember each
    scene = Scene(max_origins=5)
    ports = {scene.tracker.origin(b"localhost", port, b"http").port for port in range(1000, 2000)}
    assert len(ports) == 5


# State


def test_state_sums_up_pools_of_one_name(scene):
    """Limits and connections add up; the fullest pool gives the occupancy."""
    full = FakePool(maximum=4, idle_maximum=2)
    scene.track(full)
    scene.pool.active[scene.origin] = 1
    full.active[scene.origin] = 3
    full.idle[scene.origin] = 1
    states, counts = scene.registry.state(scene.clock())
    state = states[scene.ledger]
    assert (state.maximum, state.idle_maximum, state.busy) == (14, 7, 4)
    assert state.occupancy == 0.75
    assert counts.origins[scene.origin] == [0, 4, 1, 0, 0, 0]


def test_unlimited_pool_has_no_bound_and_no_occupancy(scene):
    """One unlimited pool makes the name's bound unknown; a limited one beside it still fills up."""
    scene.pool.active[scene.origin] = 5
    unlimited = FakePool(maximum=None, idle_maximum=None)
    scene.track(unlimited)
    only = FakePool(maximum=None, idle_maximum=None)
    alone = scene.track(only, "gemini", "gemini")
    states, _ = scene.registry.state(scene.clock())
    assert states[scene.ledger].maximum is None
    assert states[scene.ledger].idle_maximum is None
    assert states[scene.ledger].occupancy == 0.5
    assert states[alone.ledger].occupancy is None


def test_state_has_the_oldest_request_of_each_phase(scene):
    """This covers all pools of the name. Ages start with the phase."""
    second_pool = FakePool()
    second = scene.track(second_pool)
    old = second.begin(b"api.test", None, b"https")
    scene.clock.advance(5)
    scene.enter()
    reading = scene.enter()
    scene.clock.advance(1)
    reading.enter(READING, scene.clock())
    state = scene.registry.state(scene.clock())[0][scene.ledger]
    assert state.oldest_since[QUEUED] == old.entered_at
    assert state.oldest_since[READING] == scene.clock()
    assert state.oldest_since[UNREAD] == 0


def test_pool_that_cannot_be_read_leaves_the_others(scene):
    """An own failure in one pool is counted, and every other pool is still reported."""
    scene.pool.active[scene.origin] = 2

    def broken(*_):
        raise ZeroDivisionError

    pool = FakePool()
    scene.registry.track(pool, broken, owner=Owner("openai", "openai"), library="httpx2")
    state = scene.registry.state(scene.clock())[0][scene.ledger]
    assert state.busy == 2
    assert scene.registry.failures.counts == {"read": 1}


# Ends


def test_gone_name_is_reported_for_ten_minutes_and_its_counters_continue(scene):
    """Every scraper sees the 0 in that time. Counters must not restart at 0."""
    second = FakePool()
    scene.track(second)
    scene.tracker.discard("closed")
    scene.clock.advance(10 * TEN_MINUTES)
    assert scene.registry.ledgers.reported(scene.clock()) == [scene.ledger]  # one pool is left
    del second
    gc.collect()
    scene.clock.advance(TEN_MINUTES - 1)
    assert scene.registry.ledgers.reported(scene.clock()) == [scene.ledger]
    states, _ = scene.registry.state(scene.clock())
    assert states[scene.ledger].maximum is None
    scene.clock.advance(1)
    assert scene.registry.ledgers.reported(scene.clock()) == []
    pool = FakePool()
    assert scene.track(pool).ledger is scene.ledger
    assert scene.ledger.pools_opened == 3
    scene.clock.advance(3 * TEN_MINUTES)
    assert scene.registry.ledgers.reported(scene.clock()) == [scene.ledger]


def test_closed_registry_keeps_no_pools(scene):
    """It reports nothing after uninstrument()."""
    lease = scene.acquire()
    scene.registry.close()
    assert not scene.tracker.open
    assert not scene.registry.trackers
    assert not scene.tracker.leases
    assert not scene.tracker.connections
    assert scene.tracker.reference is None
    scene.tracker.released(lease)  # its request continues, and ends without an effect
    assert sum(scene.ledger.discarded.values()) == 0


def test_pool_that_is_built_while_the_registry_closes_does_not_count(scene):
    """The ledgers outlive uninstrument(), and nothing would end the pool."""

    class Late(PoolTracker):
        def __init__(self, *arguments):
            scene.registry.close()
            super().__init__(*arguments)

    owner = Owner("openai", "openai")
    made = scene.registry.track(FakePool(), read, owner=owner, library="httpx2", kind=Late)
    assert made.ledger is scene.ledger
    assert (made.open, scene.ledger.live, scene.ledger.pools_opened) == (False, 0, 1)


def test_reset_registry_starts_empty():
    """A forked child starts with empty counts and full bounds."""
    scene = Scene(max_origins=2)
    scene.tracker.origin(b"second", 80, b"http")
    assert scene.tracker.origin(b"third", 80, b"http").address == OTHER
    scene.origin.requests[scene.origin.outcome(200, None, False)] += 1
    scene.registry.forget()
    assert scene.registry.ledgers.reported(scene.clock()) == []
    pool = FakePool()
    tracker = scene.track(pool)
    assert tracker.ledger is not scene.ledger
    assert tracker.ledger.pools_opened == 1
    assert tracker.origin(b"third", 80, b"http").address == "third"
    assert set(tracker.origin(b"third", 80, b"http").requests.values()) <= {0}


def test_inherited_connection_keeps_its_age_in_a_forked_child_only():
    """Age in a new installation starts with its first look at the connection."""
    scene = Scene()
    before = TrackedConnection(scene.tracker, scene.origin, scene.clock())
    scene.registry.forget()
    for other, inherits in ((scene, True), (Scene(), False)):
        other.clock.advance(60)
        tracker = other.track(FakePool())
        origin = tracker.origin(b"api.test", None, b"https")
        made = TrackedConnection(tracker, origin, other.clock())
        made.inherit(before)
        assert (made.created_at == before.created_at) is inherits


def test_connection_beyond_the_bound_has_its_requests_ledger():
    """A tracker keeps no more origins than the bound, and the connection is made by the pool."""
    scene = Scene(max_origins=1)
    lease = scene.tracker.begin(b"beyond.test", None, b"https", Call("groq"))
    assert (lease.origin.address, lease.origin.provider) == (OTHER, "groq")
    assert scene.tracker.origin_of_connection(b"beyond.test", 443, b"https") is lease.origin
    assert len(scene.ledger.origins) == 2

"""Pool-level series whose requests have one provider, and then a second one."""

from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.pool.call import Call
from opentelemetry.instrumentation.gluellm.pool.lease import Lease
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.drain import Drain
from opentelemetry.instrumentation.gluellm.telemetry.gauges import StateSource
from unit.pool.fakes import FakePool, Scene

TEN_MINUTES = 600
OPENAI, GROQ = Call("openai"), Call("groq")


class Collected:
    """A scene, and what one collection of it reports."""

    def __init__(self) -> None:
        self.scene = Scene()
        registry = self.scene.registry
        drain = Drain(registry.outbox, Lease.account, registry.failures, lambda _: None)
        self._source = StateSource(registry, drain, list, lambda: None, None, tuple, dict)

    def by_provider(self, metric: semconv.Metric, **attributes: Any) -> dict[str | None, Any]:
        """A metric's values by provider, of the points with these attributes."""
        found: dict[str | None, Any] = {}
        for point in self._source.collect().get(metric.name, ()):
            own = point.attributes or {}
            if all(own.get(key.replace("__", ".")) == value for key, value in attributes.items()):
                provider = own.get(semconv.PROVIDER_NAME)
                assert provider not in found, "two points of one series"
                found[provider] = point.value
        return found

    def request(self, call: Call, host: bytes = b"api.test") -> None:
        """A whole request on a connection of its own, which is closed then."""
        tracker = self.scene.tracker
        lease = tracker.begin(host, None, b"https", call)
        connection = self.scene.connection(established=True)
        tracker.assigned(lease, connection)
        tracker.answered(lease, 200)
        tracker.released(lease)
        connection.close("evicted")


@pytest.fixture
def collected() -> Collected:
    return Collected()


def test_second_provider_begins_a_series_without_one_at_zero(collected):
    """The old one stays with its last values, and the two add up to the whole."""
    for _ in range(3):
        collected.request(OPENAI)
    assert collected.by_provider(semconv.CONNECTION_OPENED) == {"openai": 3}
    assert collected.by_provider(semconv.POOL_LIVE) == {"openai": 1}
    lease = collected.scene.tracker.begin(b"api.test", None, b"https", GROQ)
    opened, closed = semconv.CONNECTION_OPENED, semconv.CONNECTION_CLOSED
    for metric, before in (
        *((opened, 3), (semconv.POOL_OPENED, 1), (semconv.LEAKS, 0)),
        *((semconv.REQUEUES, 0), (closed, 3)),
    ):
        assert collected.by_provider(metric) == {"openai": before, None: 0}, metric.name
    collected.scene.tracker.failed(lease, "cancelled")
    collected.request(GROQ)
    collected.request(OPENAI)
    for metric in (opened, closed):
        assert collected.by_provider(metric) == {"openai": 3, None: 2}
    orphans = {"gluellm__anomaly__type": "orphaned_connection"}
    assert collected.by_provider(semconv.ANOMALIES, **orphans) == {"openai": 0, None: 0}


def test_gauges_of_a_shared_pool_have_no_provider(collected):
    """A pool that two providers share counts once."""
    collected.request(OPENAI)
    tracker = collected.scene.tracker
    waiting = tracker.begin(b"api.test", None, b"https", GROQ)
    tracker.waiting(waiting)
    tracker.ledger.acquire_timeout = 5.0
    collected.scene.clock.advance(7)
    for metric, now in (
        (semconv.POOL_LIVE, 1),
        (semconv.CONNECTION_MAX, 10),
        (semconv.CONNECTION_IDLE_MAX, 5),
        (semconv.PEAK_QUEUED, 1),
        (semconv.OCCUPANCY_RATIO, 0.0),
        (semconv.ACQUIRE_TIMEOUT, 5.0),
        (semconv.LEAK_SUSPECTED, 0),
    ):
        assert collected.by_provider(metric) == {"openai": 0, None: now}, metric.name
    ages = collected.by_provider(semconv.REQUEST_OLDEST_AGE, gluellm__request__phase="queued")
    assert ages == {"openai": 0, None: 7.0}


def test_pool_of_a_second_provider_opens_in_the_new_series(collected):
    """The old series keeps its last value, which is that of its provider."""
    collected.request(OPENAI)
    pool = FakePool()
    tracker = collected.scene.track(pool, "openai", "groq")
    tracker.begin(b"api.test", None, b"https", None)
    assert collected.by_provider(semconv.POOL_OPENED) == {"openai": 1, None: 1}
    assert collected.by_provider(semconv.POOL_LIVE) == {"openai": 0, None: 2}


def test_old_series_ends_after_ten_minutes(collected):
    """Over OTLP nothing else ends a series, so it is there with its last values until then."""
    collected.request(OPENAI)
    collected.request(GROQ)
    collected.scene.clock.advance(TEN_MINUTES - 1)
    assert collected.by_provider(semconv.CONNECTION_OPENED) == {"openai": 1, None: 1}
    collected.scene.clock.advance(2)
    assert collected.by_provider(semconv.CONNECTION_OPENED) == {None: 1}
    collected.request(OPENAI)
    assert collected.by_provider(semconv.CONNECTION_OPENED) == {None: 2}


def test_counter_does_not_fall_when_the_provider_changes_during_a_collection(collected):
    """Another thread may count between the copy of the numbers and the change."""
    collected.request(OPENAI)
    collected.request(OPENAI)
    assert collected.by_provider(semconv.CONNECTION_OPENED) == {"openai": 2}
    ledger = collected.scene.ledger
    ledger.opened -= 1  # as the copy had it
    ledger.asked_for("groq", collected.scene.clock())
    ledger.opened += 1
    assert collected.by_provider(semconv.CONNECTION_OPENED) == {"openai": 2, None: 1}


def test_request_without_a_known_provider_is_a_second_one(collected):
    """The provider's series must not include it."""
    scene = collected.scene
    scene.tracker.builder = None
    collected.request(OPENAI)
    lease = scene.tracker.begin(b"example.com", None, b"https", None)
    assert lease.origin.provider is None
    assert collected.by_provider(semconv.POOL_LIVE) == {"openai": 0, None: 1}


def test_origin_has_a_series_for_each_provider(collected):
    """Each has its own requests; connections are its latest request's."""
    collected.request(OPENAI)
    collected.request(OPENAI)
    collected.request(GROQ)
    counts = collected.by_provider(semconv.REQUESTS, http__response__status_code=200)
    assert counts == {"openai": 2, "groq": 1}
    assert collected.by_provider(semconv.TIMEOUTS, gluellm__timeout__kind="pool") == {
        "openai": 0,
        "groq": 0,
    }


def test_pool_counts_once_for_an_origin_that_providers_share(scene):
    """Churn detection compares pools with requests."""
    for call in (OPENAI, GROQ, None):
        scene.tracker.begin(b"shared.test", None, b"https", call)
    shared = [o for o in scene.ledger.origins.values() if o.address == "shared.test"]
    assert [(origin.provider, origin.pools) for origin in shared] == [("openai", 1), ("groq", 0)]


def test_request_has_the_provider_of_its_call_pool_or_host():
    """The call's, else that of the call that built the pool, else the host's, else none."""
    hosts = {"api.groq.com": "groq"}
    scene = Scene(provider_for_host=lambda host, _: hosts.get(host))
    built = scene.tracker
    assert built.begin(b"api.groq.com", None, b"https", Call("xai")).origin.provider == "xai"
    assert built.begin(b"api.groq.com", None, b"https", None).origin.provider == "openai"
    pool = FakePool()
    found = scene.track(pool, "mine", None)
    assert found.begin(b"api.groq.com", None, b"https", None).origin.provider == "groq"
    assert found.begin(b"example.com", None, b"https", None).origin.provider is None

"""One set of instruments for each Meter, whose callbacks ask the current installation."""

import gc
import weakref
from collections.abc import Iterator

import opentelemetry.metrics._internal as metrics_internal
import pytest
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.util._once import Once

from opentelemetry import metrics
from opentelemetry.instrumentation.gluellm.telemetry import instruments as instruments_module
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.instruments import instruments_of
from opentelemetry.instrumentation.gluellm.telemetry.semconv import Instrument
from support.telemetry import Telemetry

OBSERVED = [
    metric.name for metric in semconv.METRICS if metric.instrument is not Instrument.HISTOGRAM
]


class Source:
    """Gives one observation for every metric, and counts collections."""

    def __init__(self, value: int = 1) -> None:
        self.value = value
        self.collections = 0

    def collect(self) -> dict[str, list[Observation]]:
        self.collections += 1
        return {name: [Observation(self.value, {"number": self.collections})] for name in OBSERVED}


class Provider(Telemetry):
    """Telemetry in memory, and its meter."""

    def __init__(self) -> None:
        super().__init__()
        self.meter = self.meter_provider.get_meter("test")


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.shutdown()


def test_each_metric_has_the_contracts_unit_and_description(provider):
    source = Source()
    instruments_of(provider.meter).connect(source)
    (resource,) = provider.reader.get_metrics_data().resource_metrics
    found = [(m.name, m.unit, m.description) for m in resource.scope_metrics[0].metrics]
    contract = [(m.name, m.unit, m.description) for m in semconv.METRICS if m.name in OBSERVED]
    assert sorted(found) == sorted(contract)


def test_one_snapshot_serves_a_whole_collection():
    """The first callback takes it, the others read it, so gauges can't contradict each other."""
    readers = [InMemoryMetricReader() for _ in range(2)]
    provider = MeterProvider(readers, shutdown_on_exit=False)
    source = Source()
    instruments_of(provider.get_meter("test")).connect(source)
    for collection, reader in ((1, 0), (2, 0), (3, 1), (4, 0)):
        found = readers[reader].get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
        numbers = {point.attributes["number"] for m in found for point in m.data.data_points}
        # Asynchronous counters of earlier sets don't come back: a set that is not observed is gone.
        assert numbers == {collection}
        assert source.collections == collection
    provider.shutdown()


def test_instrument_that_could_not_be_created_is_created_later(provider, monkeypatch):
    """Until then each collection still takes a snapshot of its own, also without the first one."""
    source = Source()
    made = instruments_of(provider.meter)
    create = provider.meter.create_observable_up_down_counter

    def fail_for_the_first(name, **settings):
        if name == OBSERVED[0]:
            raise OSError
        return create(name, **settings)

    monkeypatch.setattr(provider.meter, "create_observable_up_down_counter", fail_for_the_first)
    made.connect(source)
    assert made.ledgers.failures.counts == {"sdk.instrument": 1}
    for collection in (1, 2):
        assert OBSERVED[0] not in provider.collect()
        assert source.collections == collection
    monkeypatch.undo()
    made.connect(source)
    assert OBSERVED[0] in provider.collect()


def test_meter_has_one_set_of_instruments(provider):
    """A second create_observable_* would hand back the old one and drop the new callback."""
    first = instruments_of(provider.meter)
    assert instruments_of(provider.meter) is first
    assert instruments_of(provider.meter_provider.get_meter("test")) is first
    assert instruments_of(provider.meter_provider.get_meter("other")) is not first
    assert first.histogram(semconv.ACQUIRE_DURATION) is first.histogram(semconv.ACQUIRE_DURATION)


def test_instruments_connected_to_another_installation_observe_once(provider, caplog):
    """They refer to the installation weakly, and report each point once."""
    instruments = instruments_of(provider.meter)
    old, new = Source(1), Source(2)
    instruments.connect(old)
    provider.collect()
    instruments.disconnect()
    assert provider.collect() == {}
    instruments.connect(new)
    points = provider.collect()
    assert sorted(points) == sorted(OBSERVED)
    assert all([point.value for point in found] == [2] for found in points.values())
    assert old.collections == 1
    assert caplog.records == []  # the SDK warns of an instrument that is created twice
    del new
    gc.collect()
    assert provider.collect() == {}


@pytest.fixture
def no_global_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """The API as it is before an SDK is set."""
    monkeypatch.setattr(metrics_internal, "_METER_PROVIDER", None)
    monkeypatch.setattr(metrics_internal, "_METER_PROVIDER_SET_ONCE", Once())
    monkeypatch.setattr(
        metrics_internal, "_PROXY_METER_PROVIDER", metrics_internal._ProxyMeterProvider()
    )
    monkeypatch.setattr(instruments_module, "_known", weakref.WeakSet())


@pytest.mark.usefixtures("no_global_provider")
def test_instruments_made_before_the_sdk_is_set_work_in_it(caplog):
    """instrument() may be called first; the real Meter's instruments replace the proxies once."""
    before = instruments_of(metrics.get_meter("test"))
    source = Source()
    before.connect(source)
    histogram = before.histogram(semconv.LEASE_DURATION)
    assert instruments_of(metrics.get_meter("test")) is before
    provider = Provider()
    metrics.set_meter_provider(provider.meter_provider)
    histogram.record(1.0)
    points = provider.collect()
    assert sorted(points) == sorted([*OBSERVED, "gluellm.pool.lease.duration"])
    assert all(len(found) == 1 for found in points.values())
    # From now on the real Meter has the same ones.
    after = instruments_of(metrics.get_meter("test"))
    assert after is before
    before.disconnect()
    second = Source(2)
    after.connect(second)
    points = provider.collect()
    assert all(points[name][0].value == 2 for name in OBSERVED)
    assert all(len(points[name]) == 1 for name in OBSERVED)
    assert caplog.records == []  # the SDK warns of an instrument that is created twice
    provider.shutdown()

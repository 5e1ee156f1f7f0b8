"""Instruments of one Meter, with one set of callbacks for the life of the process.

A Meter keeps its callbacks for its whole life. A second ``create_observable_*`` with the same name
returns the old instrument and discards the new callback. So the callbacks read the current source
through a weak reference, and return nothing if there is none.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from opentelemetry import metrics

from ..pool.ledger import Ledgers
from ..version import __version__
from . import semconv
from .semconv import Instrument, Metric


class ObservationSource(Protocol):
    """Source of the observations of one collection, by metric name."""

    def collect(self) -> dict[str, list[metrics.Observation]]: ...


class MeterInstruments:
    """The instruments of one Meter."""

    def __init__(self, meter: metrics.Meter) -> None:
        self.meter = meter
        self.ledgers = Ledgers()
        self._source: weakref.ref[ObservationSource] | None = None
        self._collection = threading.local()
        self._histograms: dict[str, Any] = {}
        self._observable: set[str] = set()
        """Names of the observable instruments that were created."""
        self._active = False

    @property
    def active(self) -> bool:
        """Whether recorded values are used. False without an SDK, until one is set."""
        if not self._active and not isinstance(self.meter, metrics.NoOpMeter):
            self._active = getattr(self.meter, "_real_meter", self.meter) is not None
        return self._active

    def connect(self, source: ObservationSource) -> None:
        """Create the observable instruments. Their callbacks read ``source``, held weakly."""
        self._source = weakref.ref(source)
        for metric in semconv.METRICS:
            if metric.instrument is Instrument.HISTOGRAM or metric.name in self._observable:
                continue
            try:
                self._create_observable(metric)
                self._observable.add(metric.name)
            except Exception as error:
                self.ledgers.failures.caught("sdk.instrument", error)

    def disconnect(self) -> None:
        """Make the callbacks return nothing."""
        self._source = None

    def histogram(self, metric: Metric) -> Any:
        """Return the histogram for a metric of the contract, created at the first call."""
        found = self._histograms.get(metric.name)
        if found is None:
            found = self._histograms[metric.name] = self._create_histogram(metric)
        return found

    def _create_histogram(self, metric: Metric) -> Any:
        try:
            return self.meter.create_histogram(
                metric.name,
                unit=metric.unit,
                description=metric.description,
                explicit_bucket_boundaries_advisory=list(metric.buckets),
            )
        except Exception as error:
            # A failure of the SDK must not stop the program from starting.
            self.ledgers.failures.caught("sdk.instrument", error)
            return metrics.NoOpMeter(semconv.SCOPE_NAME).create_histogram(metric.name)

    def _create_observable(self, metric: Metric) -> None:
        create = getattr(self.meter, f"create_{metric.instrument.name.lower()}")
        create(
            metric.name,
            callbacks=[self._callback(metric.name)],
            unit=metric.unit,
            description=metric.description,
        )

    def _callback(
        self, name: str
    ) -> Callable[[metrics.CallbackOptions], Iterable[metrics.Observation]]:
        first = not self._observable

        def observe(_: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
            # A collection runs in one thread and reads instruments in the order of creation. The
            # first callback takes the snapshot, the others reuse it. It is thread-local, so that
            # two readers don't share one.
            current: dict[str, list[metrics.Observation]] | None
            current = None if first else getattr(self._collection, "observations", None)
            if current is None:
                source = self._source() if self._source is not None else None
                current = source.collect() if source is not None else {}
                self._collection.observations = current
            return current.get(name, ())

        return observe


_known: weakref.WeakSet[MeterInstruments] = weakref.WeakSet()


def of_provider(provider: metrics.MeterProvider | None) -> MeterInstruments:
    """Return the one set of instruments of a MeterProvider, the global one by default."""
    try:
        meter = metrics.get_meter(semconv.SCOPE_NAME, __version__, provider, semconv.SCHEMA_URL)
    except Exception as error:
        made = MeterInstruments(metrics.NoOpMeter(semconv.SCOPE_NAME))
        made.ledgers.failures.caught("sdk.instrument", error)
        return made
    return instruments_of(meter)


def instruments_of(meter: metrics.Meter) -> MeterInstruments:
    """Return the one set of instruments of a Meter.

    Until an SDK is set, the API returns a new proxy Meter at each call. Later the instruments of
    all proxies, with their callbacks, are created in the real Meter. So a proxy counts as its real
    Meter, and all proxies without one count as the same Meter.
    """
    wanted = _identity(meter)
    for known in _known:
        if _identity(known.meter) is wanted:
            return known
    made = MeterInstruments(meter)
    _known.add(made)
    return made


def _identity(meter: Any) -> Any:
    return getattr(meter, "_real_meter", meter)

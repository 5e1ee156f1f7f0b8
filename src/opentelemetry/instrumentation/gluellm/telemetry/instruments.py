"""The instruments of one Meter: one set of callbacks for the life of the process.

A Meter keeps its callbacks as long as it lives, and a second ``create_observable_*`` of the same
name hands back the old instrument and discards the new callback. So the callbacks dispatch, weakly,
to whichever source is installed now, and yield nothing while there is none.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from opentelemetry.metrics import (
    CallbackOptions,
    Meter,
    MeterProvider,
    NoOpMeter,
    Observation,
    get_meter,
)

from ..pool.books import Books
from ..version import __version__
from . import semconv
from .semconv import Instrument, Metric


class Source(Protocol):
    """Gives the observations of one collection, by metric name."""

    def collect(self) -> dict[str, list[Observation]]: ...


class MeterInstruments:
    """The instruments of one Meter."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.books = Books()
        self._source: Callable[[], Source | None] = _nothing
        self._collection = threading.local()
        self._histograms: dict[str, Any] = {}
        self._observable: list[str] = []

    @property
    def active(self) -> bool:
        """Whether values go anywhere: false for the API without an SDK, until one is set."""
        if isinstance(self.meter, NoOpMeter):
            return False
        return getattr(self.meter, "_real_meter", self.meter) is not None

    def connect(self, source: Source) -> None:
        """Let the callbacks ask ``source``, which is held weakly."""
        self._source = weakref.ref(source)
        for metric in semconv.METRICS:
            if metric.instrument is not Instrument.HISTOGRAM:
                try:
                    self._create_observable(metric)
                except Exception as error:
                    self.books.failures.caught("sdk.instrument", error)

    def disconnect(self) -> None:
        """Let the callbacks yield nothing."""
        self._source = _nothing

    def histogram(self, metric: Metric) -> Any:
        """The histogram for a metric of the contract, made at the first call."""
        found = self._histograms.get(metric.name)
        if found is None:
            found = self._histograms[metric.name] = self._create_histogram(metric)
        return found

    def _create_histogram(self, metric: Metric) -> Any:
        try:
            made = self.meter.create_histogram(
                metric.name,
                unit=metric.unit,
                description=metric.description,
                explicit_bucket_boundaries_advisory=list(metric.buckets),
            )
            if callable(getattr(made, "record", None)):
                return made
            raise TypeError("no histogram")
        except Exception as error:
            # An SDK that can't must not keep a program from starting.
            self.books.failures.caught("sdk.instrument", error)
            return NoOpMeter(semconv.SCOPE_NAME).create_histogram(metric.name)

    def _create_observable(self, metric: Metric) -> None:
        if metric.name in self._observable:
            return
        create = {
            Instrument.OBSERVABLE_COUNTER: self.meter.create_observable_counter,
            Instrument.OBSERVABLE_UP_DOWN_COUNTER: self.meter.create_observable_up_down_counter,
            Instrument.OBSERVABLE_GAUGE: self.meter.create_observable_gauge,
        }[metric.instrument]
        self._observable.append(metric.name)
        create(
            metric.name,
            callbacks=[self._callback(metric.name)],
            unit=metric.unit,
            description=metric.description,
        )

    def _callback(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        first = name == self._observable[0]

        def observe(_: CallbackOptions) -> Iterable[Observation]:
            # A collection runs in one thread, instrument by instrument in the order of creation:
            # the first takes the snapshot, the others read it, and two readers don't share one.
            current: dict[str, list[Observation]] | None
            current = None if first else getattr(self._collection, "observations", None)
            if current is None:
                source = self._source()
                current = source.collect() if source is not None else {}
                self._collection.observations = current
            return current.get(name, ())

        return observe


_known: weakref.WeakSet[MeterInstruments] = weakref.WeakSet()


def of_provider(provider: MeterProvider | None) -> MeterInstruments:
    """The one set of instruments of a provider, of the global one where none is given."""
    try:
        meter = get_meter(semconv.SCOPE_NAME, __version__, provider, semconv.SCHEMA_URL)
    except Exception as error:
        made = MeterInstruments(NoOpMeter(semconv.SCOPE_NAME))
        made.books.failures.caught("sdk.meter", error)
        return made
    return instruments_of(meter)


def instruments_of(meter: Meter) -> MeterInstruments:
    """The one set of instruments of a Meter.

    Before an SDK is set the API hands out proxies, a new one at each call, whose instruments later
    arrive in the real Meter with the callbacks that they have. So a proxy counts as the Meter that
    it stands for, and all proxies that stand for none yet count as the same.
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


def _nothing() -> None:
    return None

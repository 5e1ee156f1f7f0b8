"""What the process uses, looked at again and again, and whether it stays flat."""

from __future__ import annotations

import gc
import statistics
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psutil

from opentelemetry.instrumentation.gluellm.telemetry import semconv

_PACKAGE: Final = "opentelemetry.instrumentation.gluellm"
MOST_SETS: Final = 1500
"""Of the contract: attribute sets of an instrument, for the life of the process."""
SERIES_OF_ORIGIN: Final = 230
"""Of the contract, and what docs/performance.md says of a provider after every failure, resends
included: series of a pool's name with one origin."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look, after a whole garbage collection."""

    requests: int
    resident: int
    blocks: int
    descriptors: int
    threads: int
    series: int


def objects_of_ours() -> Counter[str]:
    """How many objects of the package's classes there are, by class.

    For when nothing else runs: ``gc.get_objects()`` refers to tuples that are just being made, and
    making them fails then, in whichever thread that is.
    """
    found: Counter[str] = Counter()
    for kind, count in Counter(map(type, gc.get_objects())).items():
        module = str(kind.__module__)
        if module.startswith(_PACKAGE):
            found[f"{module.removeprefix(_PACKAGE + '.')}.{kind.__qualname__}"] += count
    return found


def points(data: Any) -> dict[str, list[Any]]:
    """The points of a collection, by the package's metrics."""
    found: dict[str, list[Any]] = {}
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            if scope.scope.name.startswith(_PACKAGE):
                for metric in scope.metrics:
                    found.setdefault(metric.name, []).extend(metric.data.data_points)
    return found


def series(of: dict[str, list[Any]]) -> int:
    """As Prometheus counts: each bucket of a histogram, its sum and its count."""
    return sum(
        len(point.bucket_counts) + 2 if hasattr(point, "bucket_counts") else 1
        for found in of.values()
        for point in found
    )


class Sampler:
    """Looks from a thread of its own. ``read`` gives a collection of metrics."""

    def __init__(
        self, every: float, requests: Callable[[], int], read: Callable[[], Any], over: Any
    ) -> None:
        self.samples: list[Sample] = []
        self.most_sets = 0
        self.overflowed: set[str] = set()
        self.most_threads = 0
        self.pairs: set[tuple[Any, ...]] = set()
        """Pool names with their origins."""
        self._every = every
        self._requests = requests
        self._read = read
        self._over = over
        self._process = psutil.Process()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def begin(self) -> None:
        """Until it is over."""
        self._thread.start()

    def end(self) -> None:
        """Wait for the last one."""
        self._thread.join()

    def look(self) -> Sample:
        """One sample."""
        of = points(self._read())
        for name, found in of.items():
            self.most_sets = max(self.most_sets, len(found))
            keys = {key for point in found for key in point.attributes or {}}
            if "otel.metric.overflow" in keys:
                self.overflowed.add(name)
            self.pairs.update(
                (a.get(semconv.POOL_NAME), a.get(semconv.SERVER_ADDRESS), a.get("server.port"))
                for a in (point.attributes or {} for point in found)
            )
        gc.collect()
        sample = Sample(
            requests=self._requests(),
            resident=self._process.memory_info().rss,
            blocks=sys.getallocatedblocks(),
            descriptors=self._process.num_fds(),
            threads=threading.active_count(),
            series=series(of),
        )
        self.most_threads = max(self.most_threads, sample.threads)
        return sample

    def _run(self) -> None:
        while not self._over.wait(self._every):
            self.samples.append(self.look())


@dataclass(frozen=True, slots=True)
class Trend:
    """The median of a quantity in the run's last quarter, beside its second quarter."""

    before: float
    after: float
    share: float
    """By how much of ``before`` it may grow, and"""
    more: float
    """by how much besides."""

    @property
    def flat(self) -> bool:
        """Whether it has not grown by more than that."""
        return self.after <= self.before * (1 + self.share) + self.more


ENOUGH: Final = 12
"""Samples without which nothing is said of trends."""


def trend(values: Sequence[float], share: float, more: float) -> Trend:
    """Of at least ENOUGH values."""
    quarter = len(values) // 4
    return Trend(
        statistics.median(values[quarter : 2 * quarter]),
        statistics.median(values[-quarter:]),
        share,
        more,
    )

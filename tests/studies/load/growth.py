"""Oracle: samples the resources of the process over a run, and checks that they stay flat."""

import gc
import statistics
import sys
import threading
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Final

import psutil
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from studies.bench.workload import milliseconds

from .reading import Collection

ENOUGH: Final = 12
"""The least number of samples to judge growth by."""
_PAIR: Final = (semconv.POOL_NAME, semconv.SERVER_ADDRESS, semconv.SERVER_PORT)


class Sample(SimpleNamespace):
    """One sample of the process, after a full garbage collection.

    ``count``: requests or pools so far; ``alive``: pools that the package still tracks, if the run
    counts them; ``resident``, ``blocks``, ``descriptors``, ``threads``, ``series``; ``collection``
    and ``garbage``: milliseconds of CPU that a collection of metrics and the garbage collection
    took.
    """


class Growth:
    """The samples of a run, and values for a bound on series."""

    def __init__(
        self, reader: InMemoryMetricReader, filling: Callable[[], int] = lambda: 0
    ) -> None:
        """``filling`` returns blocks not to count: those of bounded buffers that fill up."""
        self.samples: list[Sample] = []
        self.most_sets = 0
        """The most attribute sets of one instrument in a collection."""
        self.overflowed: set[str] = set()
        self.pairs: set[tuple[Any, ...]] = set()
        """Pool names with their origins."""
        self._reader = reader
        self._filling = filling
        self._process = psutil.Process()

    def look(self, count: int, alive: Callable[[], int] = lambda: 0) -> Sample:
        """Take one more sample."""
        garbage, _ = milliseconds(gc.collect)
        collection, found = milliseconds(lambda: Collection(self._reader))
        for name, points in found.collect().items():
            self.most_sets = max(self.most_sets, len(points))
            sets = [point.attributes or {} for point in points]
            self.overflowed |= {name for each in sets if "otel.metric.overflow" in each}
            self.pairs |= {tuple(each.get(key) for key in _PAIR) for each in sets}
        sample = Sample(
            count=count,
            alive=alive(),
            resident=self._process.memory_info().rss,
            blocks=sys.getallocatedblocks() - self._filling(),
            descriptors=self._process.num_fds(),
            threads=threading.active_count(),
            series=found.series,
            collection=collection,
            garbage=garbage,
        )
        self.samples.append(sample)
        return sample

    def judge(self, bounds: Mapping[str, tuple[float, float]]) -> list[str]:
        """What grew by more than its bound: a share of the earlier value, plus an amount."""
        if len(self.samples) < ENOUGH:
            return [f"the run was too short to judge growth: {len(self.samples)} samples"]
        broken = []
        for name, (share, more) in bounds.items():
            before, after = medians([getattr(sample, name) for sample in self.samples])
            if after > before * (1 + share) + more:
                grew = f"{name} grew from {before:.6g} in the second quarter to {after:.6g}"
                broken.append(f"{grew} in the last (allowed: {share:.0%} and {more:g})")
        return broken

    def figures(self, *names: str) -> dict[str, Any]:
        """Each quantity in the second and in the last quarter."""
        every = {name: medians([getattr(each, name) for each in self.samples]) for name in names}
        return {
            f"{name}: second quarter, last quarter": f"{before:.6g}, {after:.6g}"
            for name, (before, after) in every.items()
        }


def medians(values: list[float]) -> tuple[float, float]:
    """Medians of the second and of the last quarter, which a single peak doesn't change."""
    quarter = max(len(values) // 4, 1)
    second = values[quarter : 2 * quarter] or values
    return statistics.median(second), statistics.median(values[-quarter:])

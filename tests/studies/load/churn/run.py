"""Rounds of pools, and what the process and a collection are like after each."""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psutil

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from studies.bench import internals
from studies.bench.workload import Sdk, run
from studies.load.soak.measuring import points, series

from .pools import KINDS, Kind, use_many

ROUND: Final = 2_000
_ENDS: Final = 5
"""Rounds whose median counts, at either end: one alone may have had a busy machine."""


@dataclass(frozen=True, slots=True)
class Round:
    """After so many pools, and a whole garbage collection."""

    pools: int
    blocks: int
    resident: int
    collection: float
    """Milliseconds of CPU that a collection of metrics took."""
    garbage: float
    """The same for the garbage collection: of what the round's pools left."""
    series: int
    trackers: int


def churn(
    pools: int,
    kinds: Sequence[Kind] = KINDS,
    *,
    told: Callable[[Round], None] = lambda _: None,
    size: int = ROUND,
) -> list[Round]:
    """Make and drop so many pools under the instrumentation, in rounds.

    Half of each round's belong to any-llm calls, and half of them are closed by nobody.
    """
    sdk = Sdk()
    rounds: list[Round] = []

    async def main() -> None:
        # aiohttp complains of each session that nobody closed.
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        uses = [kind.make() for kind in kinds]
        for made in range(size, pools + 1, size):
            await use_many(uses, size // 2, attributed=True)
            await use_many(uses, size // 2, attributed=False)
            rounds.append(_look(sdk, made))
            told(rounds[-1])

    instrumentor = GlueLLMInstrumentor()
    instrumentor.instrument(
        meter_provider=sdk.meters, tracer_provider=sdk.tracers, scope="all", metrics="full"
    )
    try:
        run("aiohttp", main)
    finally:
        instrumentor.uninstrument()
    return rounds


def _milliseconds(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.thread_time_ns()
    found = work()
    return (time.thread_time_ns() - began) / 1e6, found


def _look(sdk: Sdk, made: int) -> Round:
    garbage, _ = _milliseconds(gc.collect)
    collection, data = _milliseconds(sdk.reader.get_metrics_data)
    return Round(
        pools=made,
        blocks=sys.getallocatedblocks(),
        resident=psutil.Process().memory_info().rss,
        collection=collection,
        garbage=garbage,
        series=series(points(data)),
        trackers=len(internals.installation().registry.trackers),
    )


@dataclass(frozen=True, slots=True)
class Course:
    """A quantity from when all is warm to the end."""

    first: float
    last: float
    slope: float
    """For each 1 000 pools, by least squares."""


def course(rounds: Sequence[Round], name: str) -> Course:
    """Of at least two rounds."""
    at = [each.pools / 1000 for each in rounds]
    values = [float(getattr(each, name)) for each in rounds]
    return Course(
        statistics.median(values[:_ENDS]),
        statistics.median(values[-_ENDS:]),
        statistics.linear_regression(at, values).slope,
    )

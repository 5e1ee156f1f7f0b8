"""Run the demo once, with its data sent to every store."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from gluellm_pools.demo.acts import SCENARIOS
from support.waiting import wait_until

from ..files import RULES
from ..processes import environment
from ..programs import Prometheus, Stack, Store

INTERVAL: Final = 0.5
"""Seconds between two exports, and between two scrapes."""
WINDOW: Final = 3.0
"""Seconds that rates look back: more than four intervals, and no longer than an act."""
VICTORIA_METRICS: Final = "VictoriaMetrics, OTLP"
READER: Final = "PrometheusMetricReader"
WAYS: Final = (
    "Collector, scraped",
    "Prometheus, OTLP",
    "Prometheus, native histograms",
    VICTORIA_METRICS,
    READER,
)
"""Ingestion paths. One program uses all of them at once."""
_NOT_OBSERVED: Final = "NOT OBSERVED: "
_TRIES: Final = 3
_SECONDS: Final = 7.0
"""Length of an act in seconds: leaks are suspected after 4 to 5."""
_DELAY: Final = 2 * INTERVAL
"""Seconds until data of the program has arrived in every store."""
_SERVICE, _INSTANCE, _VERSION = "checkout", "checkout-1", "1.4.0"
_PULLED: Final = "pulled"


@dataclass(frozen=True, slots=True)
class Way:
    """An ingestion path: how metrics get from the program into a store."""

    name: str
    store: Store
    job: str
    """The service's job label in this store."""


@dataclass(frozen=True, slots=True)
class Period:
    """Begin and end of an act as seen in the stores, in seconds since the epoch."""

    began: float
    ended: float

    @property
    def until_stored(self) -> Period:
        """The period, extended until the data of the act's end has arrived."""
        return Period(self.began, self.ended + INTERVAL)


@dataclass(frozen=True, slots=True)
class Story:
    """One run of the demo."""

    ways: tuple[Way, ...]
    started: float
    """Start of the program."""
    periods: Mapping[str, Period]
    """By act."""
    output: str
    """Output of the demo."""

    @property
    def began(self) -> float:
        """Begin of the first act."""
        return min(period.began for period in self.periods.values())

    @property
    def ended(self) -> float:
        """End of the last act."""
        return max(period.ended for period in self.periods.values())


@contextlib.contextmanager
def played(folder: Path) -> Iterator[Story]:
    """Run the demo. The stores answer queries until the context ends.

    On a busy machine, an act may not produce its effect, as the demo's output then reports, or the
    last scrapes may all fail. The demo then runs again, with new stores.
    """
    for number in range(_TRIES):
        with contextlib.ExitStack() as exits:
            story = _played(folder / str(number), exits)
            problem = story.output if _NOT_OBSERVED in story.output else _missing(story)
            if not problem:
                yield story
                return
    raise AssertionError(problem)


def _played(folder: Path, exits: contextlib.ExitStack) -> Story:
    stack = Stack(folder)
    native = Prometheus("prometheus_native", folder)
    exits.callback(native.stop)
    exits.callback(stack.stop)
    for store in (stack.prometheus_scraping, stack.prometheus_otlp, native):
        store.load_rules(*RULES.glob("*.yaml"))
    stack.start()
    stack.prometheus_scraping.scrape("collector", stack.collector.ports["scrape"], INTERVAL)
    native.start()
    pulling = stack.prometheus_scraping
    stores = (pulling, stack.prometheus_otlp, native, stack.victoria_metrics, pulling)
    ways = tuple(
        Way(name, store, _PULLED if name == READER else _SERVICE)
        for name, store in zip(WAYS, stores, strict=True)
    )
    started = time.time()
    with _program(stack.collector.http_endpoint, native.otlp_endpoint) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        labels = {"job": _PULLED, "instance": _INSTANCE}
        stack.prometheus_scraping.scrape("programs", port, INTERVAL, **labels)
        periods, output = _listen(process)
    return Story(ways, started, periods, output)


@contextlib.contextmanager
def _program(endpoint: str, native: str) -> Iterator[subprocess.Popen[str]]:
    settings = {"native": native, "interval": INTERVAL, "seconds": _SECONDS}
    variables = environment(
        endpoint,
        _SERVICE,
        _INSTANCE,
        INTERVAL,
        PYTHONUNBUFFERED="1",
        COLUMNS="100",
        # The pools of the exporters must not appear.
        OTEL_PYTHON_GLUELLM_SCOPE="all",
        OTEL_PYTHON_GLUELLM_METRICS="full",
        OTEL_PYTHON_GLUELLM_TIME_IN_QUEUE="true",
    )
    variables["OTEL_RESOURCE_ATTRIBUTES"] += (
        f",service.version={_VERSION},k8s.cluster.name=one,k8s.namespace.name=agents"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "e2e.boards.program", json.dumps(settings)],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _listen(process: subprocess.Popen[str]) -> tuple[dict[str, Period], str]:
    assert process.stdout is not None
    periods: dict[str, Period] = {}
    output: list[str] = []
    act, began = "", 0.0
    for line in process.stdout:
        output.append(line)
        if found := re.match(r"act \d+ of \d+: ([\w-]+)", line):
            act, began = found[1], time.time()
        elif line.startswith(("observed in ", _NOT_OBSERVED)):
            periods[act] = Period(began + _DELAY, time.time())
    text = "".join(output)
    assert process.wait(60) == 0, text
    assert periods.keys() == SCENARIOS.keys(), text
    return periods, text


def _missing(story: Story) -> str:
    """Wait until the end of the demo is in every store. Return what is still missing."""
    for way in story.ways:
        # One scrape may fail on a busy machine.
        query = f'last_over_time(gluellm_pool_live{{job="{way.job}"}}[{WINDOW:g}s])'
        try:
            wait_until(partial(way.store.query, query, story.ended), way.name, 20.0)
        except AssertionError as error:
            return str(error)
    return ""

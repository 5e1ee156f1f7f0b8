"""One run: a program per protocol against all stores; the table, and what else arrived."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from e2e import compose
from e2e.programs import Stack
from opentelemetry.instrumentation.gluellm.cli.fake_provider import Counts
from opentelemetry.instrumentation.gluellm.telemetry.prometheus import Way

from .comparing import Cells, add_all, compare_pushed, compare_scraped
from .counted import Origin
from .process import RESOURCE, Process

PROTOCOLS = ("grpc", "http/protobuf")
"""Each program has one, and its instance is called after it."""
JOB = f"{RESOURCE['service.namespace']}/{RESOURCE['service.name']}"
PULLED_JOB = "pulled"
"""The job of the same programs where they are scraped themselves: a target's file names it."""


@dataclass
class Told:
    """One program, after its end."""

    process: Process
    exports: list[Mapping[str, Any]]
    """The metrics of each export that the Collector took."""
    counted: Mapping[str, Mapping[str, int]]
    """What its callers counted: see `Counted`."""
    providers: Mapping[int, Counts]
    """What each provider counted, by its port."""
    spans: list[dict[str, Any]]
    """The spans that it exported."""


@dataclass
class Run:
    """What a run brought."""

    stack: Stack
    held: dict[Way, Cells] = field(default_factory=dict)
    """The table while requests are held in every phase."""
    ended: dict[Way, Cells] = field(default_factory=dict)
    """The table once all is over; the programs' own pages while they still live."""
    told: dict[str, Told] = field(default_factory=dict)
    """By protocol."""

    @property
    def tables(self) -> tuple[dict[Way, Cells], ...]:
        """At either moment."""
        return self.held, self.ended


@contextlib.contextmanager
def run(folder: Path, protocols: Sequence[str] = PROTOCOLS) -> Iterator[Run]:
    """Let it happen; the stores can be asked until the context is left."""
    stack = Stack(folder / "stack")
    with contextlib.ExitStack() as exits:
        exits.callback(stack.stop)
        stack.start()
        collector = stack.collector
        processes = {}
        for protocol in protocols:
            endpoint = collector.grpc_endpoint if protocol == "grpc" else collector.http_endpoint
            name = protocol.partition("/")[0]
            processes[protocol] = Process(folder / name, protocol, endpoint, instance=name)
            exits.callback(processes[protocol].end)
        yield _played(Run(stack), processes)


def _played(run: Run, processes: Mapping[str, Process]) -> Run:
    for process in processes.values():
        port = process.expect("began")["scrape_port"]
        labels = {"job": PULLED_JOB, "instance": process.instance}
        run.stack.prometheus_scraping.scrape("programs", port, **labels)
    for process in processes.values():
        process.expect("held")
    for process in processes.values():
        _compare_pushed(run.stack, run.held, process)
        _compare_scraped(run.stack, run.held, process)
        process.go_on()
    for process in processes.values():
        process.expect("quiet")
        _compare_scraped(run.stack, run.ended, process)
        process.go_on()
    for protocol, process in processes.items():
        counted = process.expect("counted")
        process.wait()
        _compare_pushed(run.stack, run.ended, process)
        run.told[protocol] = Told(
            process,
            _taken(process),
            counted,
            process.surroundings.counts,
            process.spans,
        )
    return run


def _compare_pushed(stack: Stack, table: dict[Way, Cells], process: Process) -> None:
    exports = _taken(process)
    origin = Origin(
        JOB,
        process.instance,
        {key: value for key, value in process.resource.items() if key in promoted()},
    )
    stores = {
        Way.COLLECTOR: stack.prometheus_scraping,
        Way.PROMETHEUS: stack.prometheus_otlp,
        Way.VICTORIA_METRICS: stack.victoria_metrics,
    }
    for way, store in stores.items():
        add_all(table, way, compare_pushed(way, store, exports, origin))


def _compare_scraped(stack: Stack, table: dict[Way, Cells], process: Process) -> None:
    origin = Origin(PULLED_JOB, process.instance, {})
    store = stack.prometheus_scraping
    add_all(table, Way.READER, compare_scraped(store, process.read, origin))


def _taken(process: Process) -> list[Mapping[str, Any]]:
    exports = process.exports
    assert all(export["result"] == "SUCCESS" for export in exports), process.log_tail()
    return [export["metrics"] for export in exports]


@cache
def promoted() -> frozenset[str]:
    """The resource attributes that the users' Prometheus makes labels of."""
    configuration = yaml.safe_load((compose.DEV / "prometheus/prometheus.yaml").read_text())
    return frozenset(configuration["otlp"]["promote_resource_attributes"])

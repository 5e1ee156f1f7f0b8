"""What ``make bench`` measures is what it says: whole requests, on one connection, by the chunk."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from studies.bench import rows, sources
from studies.bench.exchange import CHUNKS
from studies.bench.workload import FAMILIES, Combination

TESTS = Path(__file__).parents[1]
COMBINATIONS = [each for family in FAMILIES.values() for each in family]

# In a process of its own, as they are measured: urllib3's network is replaced for good.
PROGRAM = """
import json, sys
from studies.bench.workload import (
    OURS, YARDSTICK, Instrumentation, Sdk, client, combination_named, run
)

combination = combination_named(sys.argv[1])
found = {}

async def main():
    plain, streaming = client(combination), client(combination, streaming=True)
    await plain.send(3, attributed=True)
    found["chunks"] = await streaming.stream_one()
    await streaming.stream(1, attributed=True)
    outside = client(combination)
    await outside.use_pool(2)
    for each in (plain, streaming, outside):
        await each.close()

sdk = Sdk()
instrumentation = Instrumentation(combination.library, sdk)
instrumentation.turn(OURS)
run(combination.library, main)
for metric in sdk.reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics:
    if metric.name in ("gluellm.pool.requests", "gluellm.pool.connection.opened"):
        found[metric.name] = sum(point.value for point in metric.data.data_points)

other = Sdk()
instrumentation = Instrumentation(combination.library, other)
instrumentation.turn(YARDSTICK)
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
spans = InMemorySpanExporter()
other.tracers.add_span_processor(SimpleSpanProcessor(spans))

async def again():
    plain = client(combination)
    await plain.send(3, attributed=False)
    await plain.close()

run(combination.library, again)
found["spans of the yardstick"] = len(spans.get_finished_spans())
print(json.dumps(found))
"""


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_requests_are_whole_and_share_a_connection(combination: Combination) -> None:
    """The package counts those in scope alone, each client's on one connection.

    The yardstick makes a span of each, so it is on as well when its turn comes.
    """
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(combination)],
        cwd=TESTS,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    found = json.loads(finished.stdout.splitlines()[-1])
    opened = found.pop("gluellm.pool.connection.opened", None)
    in_scope = 3 + 1  # three in one piece, one of the two streams
    assert found == {
        "chunks": CHUNKS,
        "gluellm.pool.requests": in_scope,
        "spans of the yardstick": 3,
    }
    if combination.library != "grpc":  # whose connections are its core's affair
        assert opened == 1  # the other one was there before it was in scope


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measurements that are not made: 100 is what every yardstick adds, 2 and 30 what ours does."""
    variants = {"off": 1000.0, "yardstick": 1100.0, "ours": 1002.0, "all in": 1030.0}
    variants |= {"stream off": 70.0, "stream ours": 77.0}
    no_span = {f"{name}, no span": count for name, count in variants.items()}

    def found(family: str) -> dict[str, dict[str, float]]:
        return {str(each): variants | no_span for each in FAMILIES[family]}

    def unavailable(family: str) -> dict[str, dict[str, float]]:
        raise sources.UnavailableError("not here")

    monkeypatch.setattr(sources, "instruction_counts", found)
    monkeypatch.setattr(sources, "cpu_times", unavailable)


@pytest.mark.usefixtures("counts")
def test_each_library_has_a_block_beside_its_own_yardstick() -> None:
    """With the same budgets: percents of what its contrib instrumentation adds."""
    blocks = list(rows.blocks(["request-path", "all-in"]))
    assert [block.title for block in blocks] == [
        "httpx, beside opentelemetry-instrumentation-httpx",
        "aiohttp, beside opentelemetry-instrumentation-aiohttp-client",
        "urllib3, beside opentelemetry-instrumentation-urllib3",
        "grpc, beside opentelemetry-instrumentation-grpc",
    ]
    for block in blocks:
        path, cpu, all_in, _ = block.rows
        assert (path.budget, path.measured, path.met) == ("<= 3.0 %", "2.0 %", True)
        assert (all_in.budget, all_in.measured, all_in.met) == ("<= 28.0 %", "30.0 %", False)
        assert (cpu.measured, cpu.met, cpu.detail) == ("not measured", None, "not here")


@pytest.mark.usefixtures("counts")
def test_what_cannot_be_told_is_not_met() -> None:
    """A chunk's CPU time is lost in that of gRPC's threads; its instructions are told instead."""
    (block,) = rows.blocks(["chunk"], ["grpc"])
    (row,) = block.rows
    assert (row.measured, row.met) == ("not measured", None)
    assert "Instructions: grpc async 7" in row.detail


@pytest.mark.usefixtures("counts")
def test_one_library_can_be_chosen() -> None:
    """Then nothing else is measured, not even what is the same for all."""
    (block,) = rows.blocks(["request-path"], ["urllib3"])
    assert block.title.startswith("urllib3")
    assert len(block.rows) == 2

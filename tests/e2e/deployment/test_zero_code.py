"""`opentelemetry-instrument python script.py` into a Collector, told by the environment only."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from e2e.processes import command, environment
from e2e.programs import STORES, Stack, Store
from opentelemetry.instrumentation.gluellm.cli.fake_provider import (
    Behaviour,
    FakeProvider,
    FakeProviderThread,
)
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.prometheus import (
    label_name,
    metric_name,
    series_names,
)
from support.waiting import wait_until

pytest.importorskip("any_llm")
pytest.importorskip("opentelemetry.distro")

SCRIPT = Path(__file__).parents[2] / "integration" / "auto_instrument" / "any_llm_script.py"
CALLS = 3
"""What the script makes, at once, on a pool of one connection."""
ANSWER = 0.2
"""Seconds that the provider takes, so that two of the calls wait for longer than a span needs."""
_PATIENCE = 40.0
_NOT_HERE = {
    # HTTP/2 only.
    semconv.STREAM_ACTIVE,
    semconv.STREAM_MAX,
    semconv.STREAM_ORPHANED,
    # gRPC only.
    semconv.CHANNEL_CURRENT,
    semconv.CHANNEL_TIME,
    # The script's pool has no such bounds.
    semconv.CONNECTION_IDLE_MAX,
    semconv.ACQUIRE_TIMEOUT,
    # From the first failure of ours on.
    semconv.INSTRUMENTATION_ERRORS,
}


@pytest.fixture(scope="module", params=["http/protobuf", "grpc"])
def run(
    request: pytest.FixtureRequest,
    shared_stack: Stack,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, FakeProvider]]:
    """The service's name, and the provider that the script called, once it has ended."""
    protocol: str = request.param
    service = f"zero-code-{protocol.partition('/')[0]}"
    collector = shared_stack.collector
    endpoint = collector.grpc_endpoint if protocol == "grpc" else collector.http_endpoint
    # Often, so that one comes while the pool lives: its bounds go with it.
    variables = environment(
        endpoint, service, f"{service}-1", 0.1, OTEL_EXPORTER_OTLP_PROTOCOL=protocol
    )
    library = "httpx2" if int(version("openai").split(".")[0]) >= 3 else "httpx"
    with FakeProviderThread(behaviour=Behaviour(head_delay=ANSWER)) as provider:
        finished = subprocess.run(
            [
                command("opentelemetry-instrument"),
                sys.executable,
                SCRIPT,
                provider.openai_url,
                library,
            ],
            env=variables,
            cwd=tmp_path_factory.mktemp("zero_code"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        assert "Failed to export" not in finished.stderr
        yield service, provider


def names(store: Store, service: str) -> set[str]:
    """The names of a service's series. opentelemetry-instrumentation-httpx has some too."""
    pattern = '{__name__=~"(gluellm|http_client)_.*",service_name="' + service + '"}'
    return {labels["__name__"] for labels in store.series(pattern)}


@pytest.mark.parametrize("way", STORES)
def test_metrics_arrive_under_the_documented_names(
    way: str, run: tuple[str, FakeProvider], shared_stack: Stack
) -> None:
    """Each metric that is on by default and can occur, with the calls that the script made."""
    service, provider = run
    store: Store = getattr(shared_stack, way)
    assert provider.counts.completed == CALLS
    selector = f'{metric_name(semconv.REQUESTS)}{{service_name="{service}"}}'

    def requests() -> list[dict[str, Any]]:
        return [row for row in store.query(f"last_over_time({selector}[5m])") if row["value"][1]]

    # An export between two calls stores some of them before the last one stores all.
    wait_until(
        lambda: [row["value"][1] for row in requests()] == [CALLS], "requests are stored", _PATIENCE
    )
    (row,) = requests()
    expected = {
        semconv.PROVIDER_NAME: "openai",
        semconv.POOL_NAME: "openai",
        semconv.SERVER_ADDRESS: "127.0.0.1",
        semconv.SERVER_PORT: str(provider.port),
        semconv.STATUS_CODE: "200",
    }
    assert {key: row["metric"].get(label_name(key)) for key in expected} == expected
    # opentelemetry-instrumentation-httpx has some too.
    names = '{__name__=~"(gluellm|http_client)_.*",service_name="' + service + '"}'
    found = {labels["__name__"] for labels in store.series(names)}
    here = [m for m in semconv.METRICS if not (m.full or m.setting) and m not in _NOT_HERE]
    documented = {name for metric in semconv.METRICS for name in series_names(metric)}
    assert {name for name in found if name.startswith("gluellm_")} <= documented
    assert found >= {name for metric in here for name in series_names(metric)}


def test_spans_arrive_under_the_documented_names(
    run: tuple[str, FakeProvider], shared_stack: Stack
) -> None:
    """A span for each of the calls that waited, with what explains the wait."""
    service, provider = run

    def ours() -> list[dict[str, Any]]:
        return [
            span
            for span in shared_stack.collector.spans()
            if span["scope"].get("name") == semconv.SCOPE_NAME
            and _attributes(span["resource"])["service.name"] == service
        ]

    wait_until(lambda: len(ours()) >= CALLS - 1, "the spans arrive", _PATIENCE)
    name = semconv.SPAN_WAIT.format(address="127.0.0.1", port=provider.port)
    waits = [span for span in ours() if span["name"] == name]
    assert len(waits) == CALLS - 1
    for span in waits:
        attributes = _attributes(span)
        assert attributes[semconv.PROVIDER_NAME] == "openai"
        assert attributes[semconv.SPAN_CONNECTION_MAX] == "1"
        took = int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])
        assert took / 1e9 >= ANSWER * 0.9


def _attributes(found: dict[str, Any]) -> dict[str, Any]:
    return {
        attribute["key"]: next(iter(attribute["value"].values()))
        for attribute in found["attributes"]
    }

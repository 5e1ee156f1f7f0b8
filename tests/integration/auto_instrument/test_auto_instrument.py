"""`opentelemetry-instrument python script.py` shows pools on the console without code changes."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from gluellm_pools.fake_provider import Behaviour, FakeProvider, FakeProviderThread
from opentelemetry.instrumentation.gluellm.telemetry import semconv

HERE = Path(__file__).parent
COMMAND = Path(sys.executable).with_name("opentelemetry-instrument")

pytestmark = pytest.mark.skipif(
    not COMMAND.exists() or importlib.util.find_spec("opentelemetry.distro") is None,
    reason="needs opentelemetry-distro",
)


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """A fake LLM provider that takes 0.2 s to answer."""
    with FakeProviderThread(behaviour=Behaviour(head_delay=0.2)) as running:
        yield running


class Console:
    """Parsed output of the console exporters."""

    def __init__(self, output: str) -> None:
        self.metrics: dict[str, list[dict[str, Any]]] = {}
        self.spans: list[dict[str, Any]] = []
        for document in documents(output):
            if "resource_metrics" in document:
                self._read(document)
            elif "parent_id" in document:
                self.spans.append(document)

    def _read(self, document: dict[str, Any]) -> None:
        for resource in document["resource_metrics"]:
            for scope in resource["scope_metrics"]:
                if scope["scope"]["name"] == semconv.SCOPE_NAME:
                    for metric in scope["metrics"]:
                        self.metrics[metric["name"]] = metric["data"]["data_points"]

    def by_library(self, metric: semconv.Metric, status: int | None = None) -> dict[str, int]:
        """Return a metric's values by library, of one status code if it is given."""
        found: dict[str, int] = {}
        for point in self.metrics.get(metric.name, ()):
            attributes = point["attributes"]
            if status in (None, attributes.get(semconv.STATUS_CODE)):
                library = attributes[semconv.POOL_LIBRARY]
                found[library] = found.get(library, 0) + point["value"]
        return found


def documents(output: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON documents in a text."""
    decoder = json.JSONDecoder()
    position = output.find("{")
    while position != -1:
        document, end = decoder.raw_decode(output, position)
        yield document
        position = output.find("{", end)


def run(script: str, *arguments: str, **environment: str) -> tuple[Console, str]:
    """Run a script under opentelemetry-instrument. Returns its parsed output and standard error."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    finished = subprocess.run(
        [COMMAND, sys.executable, HERE / script, *arguments],
        env={
            **inherited,
            "OTEL_TRACES_EXPORTER": "console",
            "OTEL_METRICS_EXPORTER": "console",
            "OTEL_LOGS_EXPORTER": "none",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return Console(finished.stdout), finished.stderr


def openai_library() -> str:
    """Return the library that openai uses: httpx2 since its third major version."""
    return "httpx2" if int(version("openai").split(".")[0]) >= 3 else "httpx"


@pytest.mark.skipif(importlib.util.find_spec("any_llm") is None, reason="needs any-llm")
def test_unchanged_any_llm_script_shows_its_pool(provider):
    """Metrics have the provider, and each of the two calls that waited has a span."""
    library = openai_library()
    provider.script(Behaviour(head_delay=2.5))  # until the other calls wait
    console, _ = run("any_llm_script.py", provider.openai_url, library)
    assert console.by_library(semconv.REQUESTS, status=200) == {library: 3}
    (wait,) = console.metrics[semconv.ACQUIRE_DURATION.name]
    assert wait["count"] == 3
    assert wait["sum"] > 0.5
    assert wait["explicit_bounds"] == list(semconv.ACQUIRE_DURATION.buckets)
    assert wait["attributes"] == {
        semconv.PROVIDER_NAME: "openai",
        semconv.POOL_NAME: "openai",
        semconv.POOL_LIBRARY: library,
        semconv.SERVER_ADDRESS: "127.0.0.1",
        semconv.SERVER_PORT: provider.port,
    }
    waits = [s for s in console.spans if s["name"].startswith("HTTP wait_for_connection")]
    assert len(waits) == 2
    traced = importlib.util.find_spec("opentelemetry.instrumentation.httpx") is not None
    clients = [span for span in console.spans if span["kind"] == "SpanKind.CLIENT"]
    assert len(clients) == (3 if traced else 0)


LIBRARIES = [
    name for name in ("httpx", "httpx2", "aiohttp", "urllib3") if importlib.util.find_spec(name)
]
"""The installed libraries. The matrix has environments with few, and one without any."""
SPANS = {"httpx": "httpx", "httpx2": "httpx", "aiohttp": "aiohttp_client", "urllib3": "urllib3"}
"""OpenTelemetry's instrumentation package of each library."""


def test_settings_come_from_the_environment(provider):
    """Without any-llm, a variable sets scope "all", which is needed to report a pool.

    A wrong value of another variable is logged once. ``http_spans`` is left to the loader, which
    enables the installed instrumentations: one CLIENT span per request.
    """
    console, errors = run(
        "http_script.py",
        provider.openai_url,
        *LIBRARIES,
        OTEL_PYTHON_GLUELLM_SCOPE="all",
        OTEL_PYTHON_GLUELLM_MAX_ORIGINS="many",
        OTEL_PYTHON_GLUELLM_HTTP_SPANS="true",
    )
    # Without a supported library, the loader skips this package because of its dependencies.
    assert errors.count("OTEL_PYTHON_GLUELLM_MAX_ORIGINS='many'") == bool(LIBRARIES)
    assert "Traceback" not in errors
    assert console.by_library(semconv.REQUESTS, status=200) == dict.fromkeys(LIBRARIES, 3)
    assert console.by_library(semconv.CONNECTION_OPENED) == dict.fromkeys(LIBRARIES, 1)
    traced = [
        name
        for name in LIBRARIES
        if importlib.util.find_spec(f"opentelemetry.instrumentation.{SPANS[name]}")
    ]
    clients = [span for span in console.spans if span["kind"] == "SpanKind.CLIENT"]
    assert len(clients) == 3 * len(traced)

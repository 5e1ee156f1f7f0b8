"""http_spans: OpenTelemetry's own instrumentations beside us, and only those off again."""

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import httpx2
import pytest
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient, GrpcInstrumentorClient
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor, HTTPXClientInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.telemetry import semconv

INSTRUMENTORS = {
    "httpx": HTTPXClientInstrumentor,
    "httpx2": HTTPX2ClientInstrumentor,
    "aiohttp-client": AioHttpClientInstrumentor,
    "urllib3": URLLib3Instrumentor,
    "grpc_client": GrpcInstrumentorClient,
    "grpc_aio_client": GrpcAioInstrumentorClient,
}
ALL = set(INSTRUMENTORS)
LOADER = "opentelemetry.instrumentation.auto_instrumentation._load"


@pytest.fixture(autouse=True)
def off() -> Iterator[None]:
    """None of them is on after a test."""
    yield
    if GlueLLMInstrumentor().is_instrumented_by_opentelemetry:
        GlueLLMInstrumentor().uninstrument()
    for instrumentor in INSTRUMENTORS.values():
        if instrumentor().is_instrumented_by_opentelemetry:
            instrumentor().uninstrument()


def turned_on() -> set[str]:
    """Those that are on, by the names that turn them off."""
    return {name for name, i in INSTRUMENTORS.items() if i().is_instrumented_by_opentelemetry}


@pytest.mark.parametrize("client", [httpx, httpx2])
def test_requests_get_a_span_each(client, server, instrument):
    """The span has the attributes of the acquired connection."""
    telemetry = instrument(http_spans=True)
    with client.Client(trust_env=False) as session:
        session.get(server.url())
        session.get(server.url())
    first, second = [span for span in telemetry.spans() if span.kind.name == "CLIENT"]
    assert first.attributes is not None
    assert second.attributes is not None
    assert first.attributes[semconv.CONNECTION_REUSED] is False
    assert second.attributes[semconv.CONNECTION_REUSED] is True
    assert second.attributes[semconv.SPAN_ACQUIRE_DURATION] == 0.0


def test_uninstrument_turns_off_what_http_spans_turned_on(instrument):
    """And on again with the next instrument()."""
    for _ in range(2):
        instrument(http_spans=True)
        assert turned_on() == ALL
        GlueLLMInstrumentor().uninstrument()
        assert turned_on() == set()


def test_two_threads_that_turn_it_on_at_once_leave_nothing_on(instrument, monkeypatch):
    """The second one must not overwrite the note of what the first turned on."""
    both = threading.Barrier(2)

    def meet(_: Any) -> tuple[()]:
        # Where the two can't be in here at once, waiting in vain is what is wished for.
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(timeout=0.5)
        return ()

    monkeypatch.setattr(GlueLLMInstrumentor, "instrumentation_dependencies", meet)
    threads = [
        threading.Thread(target=instrument, kwargs={"http_spans": True}, daemon=True)
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert turned_on() == ALL
    GlueLLMInstrumentor().uninstrument()
    assert turned_on() == set()


@pytest.mark.parametrize("second", [True, False])
def test_instance_of_a_subclass_leaves_nothing_on(instrument, second):
    """It is a second instrumentor, and the last one that was turned on counts."""

    class Mine(GlueLLMInstrumentor):
        """What an application makes of ours."""

        _instance = None

    Mine().instrument(http_spans=True)
    assert turned_on() == ALL
    instrument(http_spans=second)
    assert turned_on() == (ALL if second else set())
    GlueLLMInstrumentor().uninstrument()
    assert turned_on() == set()
    Mine().uninstrument()
    assert turned_on() == set()


def test_what_was_on_before_stays_on(instrument):
    """The user turned it on, and the user turns it off."""
    HTTPXClientInstrumentor().instrument()
    instrument(http_spans=True)
    assert turned_on() == ALL
    GlueLLMInstrumentor().uninstrument()
    assert turned_on() == {"httpx"}


def test_instrumentation_turned_off_by_the_program_stays_off_without_a_warning(instrument, caplog):
    """We don't turn it off a second time, which would log a warning."""
    instrument(http_spans=True)
    HTTPXClientInstrumentor().uninstrument()
    with caplog.at_level(logging.WARNING):
        GlueLLMInstrumentor().uninstrument()
    assert turned_on() == set()
    assert caplog.records == []


@pytest.mark.parametrize(
    ("disabled", "skipped"),
    [
        *((name, {name}) for name in INSTRUMENTORS),
        ("redis, httpx , httpx2", {"httpx", "httpx2"}),
        ("http", set()),
        ("", set()),
    ],
)
def test_disabled_names_are_skipped(instrument, monkeypatch, disabled, skipped):
    """OTEL_PYTHON_DISABLED_INSTRUMENTATIONS applies here as it does for the loader."""
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", disabled)
    instrument(http_spans=True)
    assert turned_on() == ALL - skipped


def test_under_auto_instrumentation_it_is_left_to_the_loader(instrument, monkeypatch):
    """Which turns on what is installed; twice would be a warning."""
    monkeypatch.setitem(sys.modules, LOADER, sys)
    instrument(http_spans=True)
    assert turned_on() == set()


def test_only_a_missing_package_for_httpx_is_a_warning(server, instrument, monkeypatch, caplog):
    """It says what to install; all else works. Few use all of the libraries."""
    for name in ("httpx", "aiohttp_client", "urllib3", "grpc"):
        monkeypatch.setitem(sys.modules, f"opentelemetry.instrumentation.{name}", None)
    with caplog.at_level(logging.WARNING):
        telemetry = instrument(http_spans=True)
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "opentelemetry-instrumentation-gluellm[http]" in warning
    assert turned_on() == set()
    with httpx.Client(trust_env=False) as session:
        session.get(server.url())
    assert telemetry.value(semconv.REQUESTS) == 1


def test_older_version_that_does_not_know_httpx2_is_one_warning(instrument, monkeypatch, caplog):
    """What it knows is turned on."""
    module = sys.modules["opentelemetry.instrumentation.httpx"]
    monkeypatch.delattr(module, "HTTPX2ClientInstrumentor")
    with caplog.at_level(logging.WARNING):
        instrument(http_spans=True)
    assert turned_on() == ALL - {"httpx2"}
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "httpx2" in warning

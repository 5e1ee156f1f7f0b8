"""http_spans turns on OpenTelemetry's instrumentations, and turns off only what it turned on."""

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
    """Turn off all instrumentations after a test."""
    yield
    if GlueLLMInstrumentor().is_instrumented_by_opentelemetry:
        GlueLLMInstrumentor().uninstrument()
    for instrumentor in INSTRUMENTORS.values():
        if instrumentor().is_instrumented_by_opentelemetry:
            instrumentor().uninstrument()


def turned_on() -> set[str]:
    """Return the active instrumentations, by the names with which users disable them."""
    return {name for name, i in INSTRUMENTORS.items() if i().is_instrumented_by_opentelemetry}


@pytest.mark.parametrize("client", [httpx, httpx2])
def test_each_request_gets_a_span(client, server, instrument):
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
    """The next instrument() turns it on again."""
    for _ in range(2):
        instrument(http_spans=True)
        assert turned_on() == ALL
        GlueLLMInstrumentor().uninstrument()
        assert turned_on() == set()


def test_two_threads_that_turn_it_on_at_once_leave_nothing_on(instrument, monkeypatch):
    """The second thread must not overwrite the list of what the first one turned on."""
    both = threading.Barrier(2)

    def meet(_: Any) -> tuple[()]:
        # If only one thread at a time can be here, as it should, this wait times out.
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
    """It is a second instrumentor. The settings of the last one that was turned on apply."""

    class Mine(GlueLLMInstrumentor):
        """A subclass in an application."""

        _instance = None

    Mine().instrument(http_spans=True)
    assert turned_on() == ALL
    instrument(http_spans=second)
    assert turned_on() == (ALL if second else set())
    GlueLLMInstrumentor().uninstrument()
    assert turned_on() == set()
    Mine().uninstrument()
    assert turned_on() == set()


def test_instrumentation_turned_on_by_the_user_stays_on(instrument):
    """http_spans did not turn it on."""
    HTTPXClientInstrumentor().instrument()
    instrument(http_spans=True)
    assert turned_on() == ALL
    GlueLLMInstrumentor().uninstrument()
    assert turned_on() == {"httpx"}


def test_instrumentation_turned_off_by_the_program_stays_off_without_a_warning(instrument, caplog):
    """Turning it off twice would log a warning."""
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
    """OTEL_PYTHON_DISABLED_INSTRUMENTATIONS applies as it does for the loader."""
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", disabled)
    instrument(http_spans=True)
    assert turned_on() == ALL - skipped


def test_auto_instrumentation_leaves_http_spans_to_the_loader(instrument, monkeypatch):
    """The loader turns on what is installed. Turning it on twice would log a warning."""
    monkeypatch.setitem(sys.modules, LOADER, sys)
    instrument(http_spans=True)
    assert turned_on() == set()


def test_only_a_missing_package_for_httpx_is_a_warning(server, instrument, monkeypatch, caplog):
    """It names the package to install. Few programs use all of the other libraries."""
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


def test_older_version_that_does_not_support_httpx2_is_one_warning(instrument, monkeypatch, caplog):
    """The others are turned on."""
    module = sys.modules["opentelemetry.instrumentation.httpx"]
    monkeypatch.delattr(module, "HTTPX2ClientInstrumentor")
    with caplog.at_level(logging.WARNING):
        instrument(http_spans=True)
    assert turned_on() == ALL - {"httpx2"}
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "httpx2" in warning

"""http_spans: opentelemetry-instrumentation-httpx beside us, and only that off again."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import httpx2
import pytest
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor, HTTPXClientInstrumentor

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.http1 import HTTP1Server

from .conftest import Instrument

INSTRUMENTORS = [HTTPXClientInstrumentor, HTTPX2ClientInstrumentor]
LOADER = "opentelemetry.instrumentation.auto_instrumentation._load"


@pytest.fixture(autouse=True)
def off() -> Iterator[None]:
    """Neither package is on before or after a test."""
    yield
    if GlueLLMInstrumentor().is_instrumented_by_opentelemetry:
        GlueLLMInstrumentor().uninstrument()
    for instrumentor in INSTRUMENTORS:
        if instrumentor().is_instrumented_by_opentelemetry:
            instrumentor().uninstrument()


def turned_on() -> list[bool]:
    """Which of the two are on: httpx's, httpx2's."""
    return [instrumentor().is_instrumented_by_opentelemetry for instrumentor in INSTRUMENTORS]


@pytest.mark.parametrize("client", [httpx, httpx2])
def test_requests_get_a_span_each(client: Any, server: HTTP1Server, instrument: Instrument) -> None:
    """Once, with ours telling on it how the connection was acquired."""
    telemetry = instrument(http_spans=True)
    assert turned_on() == [True, True]
    with client.Client(trust_env=False) as session:
        session.get(server.url())
        session.get(server.url())
    first, second = [span for span in telemetry.spans() if span.kind.name == "CLIENT"]
    assert first.attributes is not None
    assert second.attributes is not None
    assert first.attributes[semconv.CONNECTION_REUSED] is False
    assert second.attributes[semconv.CONNECTION_REUSED] is True
    assert second.attributes[semconv.SPAN_ACQUIRE_DURATION] == 0.0


def test_what_we_turned_on_is_turned_off(instrument: Instrument) -> None:
    """And on again with the next instrument()."""
    for _ in range(2):
        instrument(http_spans=True)
        assert turned_on() == [True, True]
        GlueLLMInstrumentor().uninstrument()
        assert turned_on() == [False, False]


def test_two_threads_that_turn_it_on_at_once_leave_nothing_on(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that comes second must not make us forget what the first has turned on."""
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
    assert turned_on() == [True, True]
    GlueLLMInstrumentor().uninstrument()
    assert turned_on() == [False, False]


@pytest.mark.parametrize("second", [True, False])
def test_instance_of_a_subclass_leaves_nothing_on(instrument: Instrument, second: bool) -> None:
    """It is a second instrumentor, and the last one that was turned on counts."""

    class Mine(GlueLLMInstrumentor):
        """What an application makes of ours."""

        _instance = None

    Mine().instrument(http_spans=True)
    assert turned_on() == [True, True]
    instrument(http_spans=second)
    assert turned_on() == [second, second]
    GlueLLMInstrumentor().uninstrument()
    assert turned_on() == [False, False]
    Mine().uninstrument()
    assert turned_on() == [False, False]


def test_what_was_on_before_stays_on(instrument: Instrument) -> None:
    """The user turned it on, and the user turns it off."""
    HTTPXClientInstrumentor().instrument()
    instrument(http_spans=True)
    assert turned_on() == [True, True]
    GlueLLMInstrumentor().uninstrument()
    assert turned_on() == [True, False]


def test_what_somebody_else_turned_off_meanwhile_stays_off(
    instrument: Instrument, caplog: pytest.LogCaptureFixture
) -> None:
    """We don't turn it off a second time, which would log a warning."""
    instrument(http_spans=True)
    HTTPXClientInstrumentor().uninstrument()
    with caplog.at_level(logging.WARNING):
        GlueLLMInstrumentor().uninstrument()
    assert turned_on() == [False, False]
    assert caplog.records == []


def test_without_the_setting_nothing_is_turned_on(instrument: Instrument) -> None:
    """Its spans carry whole URLs, and it sends trace context to the provider: by wish only."""
    instrument()
    assert turned_on() == [False, False]


@pytest.mark.parametrize(
    ("disabled", "expected"),
    [
        ("httpx", [False, True]),
        ("httpx2", [True, False]),
        ("redis, httpx , httpx2", [False, False]),
        ("http", [True, True]),
        ("", [True, True]),
    ],
)
def test_disabled_names_are_skipped(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch, disabled: str, expected: list[bool]
) -> None:
    """OTEL_PYTHON_DISABLED_INSTRUMENTATIONS counts for us as for the loader."""
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", disabled)
    instrument(http_spans=True)
    assert turned_on() == expected


def test_setting_from_the_environment(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OTEL_PYTHON_GLUELLM_HTTP_SPANS does the same."""
    monkeypatch.setenv("OTEL_PYTHON_GLUELLM_HTTP_SPANS", "true")
    instrument()
    assert turned_on() == [True, True]


def test_under_auto_instrumentation_it_is_left_to_the_loader(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which turns on what is installed; twice would be a warning."""
    monkeypatch.setitem(sys.modules, LOADER, sys)
    instrument(http_spans=True)
    assert turned_on() == [False, False]


def test_missing_extra_is_one_warning(
    server: HTTP1Server,
    instrument: Instrument,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It says what to install; all else works."""
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.httpx", None)
    with caplog.at_level(logging.WARNING):
        telemetry = instrument(http_spans=True)
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "opentelemetry-instrumentation-gluellm[http]" in warning
    with httpx.Client(trust_env=False) as session:
        session.get(server.url())
    assert telemetry.value(semconv.REQUESTS) == 1


def test_older_version_that_does_not_know_httpx2_is_one_warning(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What it knows is turned on."""
    module = sys.modules["opentelemetry.instrumentation.httpx"]
    monkeypatch.delattr(module, "HTTPX2ClientInstrumentor")
    with caplog.at_level(logging.WARNING):
        instrument(http_spans=True)
    assert turned_on() == [True, False]
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "httpx2" in warning

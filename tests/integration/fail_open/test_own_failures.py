"""Failures of the instrumentation: requests continue, and each kind is logged once."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
import urllib3
from opentelemetry.sdk.trace import TracerProvider

from opentelemetry import trace
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.adapters.aiohttp import failures as aiohttp_failures
from opentelemetry.instrumentation.gluellm.adapters.httpcore import requests as core_requests
from opentelemetry.instrumentation.gluellm.adapters.urllib3 import requests as urllib3_requests
from opentelemetry.instrumentation.gluellm.pool import call_site, ledger, registry
from opentelemetry.instrumentation.gluellm.pool.observer import _EVENTS
from opentelemetry.instrumentation.gluellm.pool.outbox import Outbox
from opentelemetry.instrumentation.gluellm.snapshots import pool_timeout_note
from opentelemetry.instrumentation.gluellm.telemetry import (
    drain,
    entry,
    gauges,
    histograms,
    logs,
    semconv,
    spans,
)
from opentelemetry.instrumentation.gluellm.watch import anomalies, loop_lag, watch
from support.http1 import HTTP1Server
from support.installation import installed
from support.libraries import Library
from support.telemetry import Telemetry
from support.waiting import wait_until

ERRORS = (RuntimeError, MemoryError, RecursionError)
PARTS: list[tuple[type, str]] = [
    (owner, name)
    for owner, names in (
        (entry.EntryObserver, None),
        (histograms.DurationObserver, None),
        (spans.SpanObserver, None),
        (pool_timeout_note.NoteObserver, None),
        (logs.WatchObserver, None),
        (drain.Drain, ("some", "_work_off")),
        (gauges.StateSource, ("_add_process",)),
        (loop_lag.LoopLag, ("watch", "fired", "peak")),
        (watch.Watch, ("_check_pool", "_check_suspects")),
        (anomalies.Anomalies, ("check", "passed")),
        (call_site.CallSite, ("__init__",)),
        (registry.PoolRegistry, ("state", "_add", "track", "attend")),
        (ledger.Ledgers, ("pool", "origin")),
    )
    for name in (names or [event for event in _EVENTS if event in vars(owner)])
]
"""All events of all observers, and all other code that runs in requests, exports or the watch."""


RARE = {
    "leak_suspected": "a response that is left unread for the leak threshold",
    "leak_over": "the end of such a response",
    "call_began": "an any-llm call",
    "call_ended": "the end of an any-llm call",
    "fired": "timers of an event loop",
}
"""Parts that the requests of `_Traffic` do not reach, and what does. The same guard calls them."""


def _raising(error: type[BaseException]) -> tuple[Callable[..., Any], Callable[[], int]]:
    """Return a function that raises, and one that returns how often it has raised."""
    count = 0

    def fails(*_: Any, **__: Any) -> Any:
        nonlocal count
        count += 1
        raise error("ours")

    return fails, lambda: count


class _Traffic:
    """Requests of two libraries: with and without a wait, with and without a failure."""

    def __init__(self, url: str, nobody: str) -> None:
        self._url, self._nobody = url, nobody
        self._open = urllib3.PoolManager()

    def results(self) -> list[str]:
        tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
        with trace.use_span(tracer.start_span("")):
            return self._results()

    def _results(self) -> list[str]:
        found = []
        # This pool stays open, so that collections find one.
        self._open.request("GET", self._url)

        def note(send: Callable[[], Any]) -> None:
            try:
                found.append(str(send().status))
            except Exception as error:
                found.append(type(error).__name__)

        core = Library.load("httpx2").core
        with core.ConnectionPool(max_connections=1) as pool:
            note(lambda: pool.request("GET", self._url))
            with pool.stream("GET", self._url) as response:
                note(
                    lambda: pool.request("GET", self._url, extensions={"timeout": {"pool": 0.005}})
                )
                response.read()
            note(lambda: pool.request("GET", self._nobody))
        manager = urllib3.PoolManager()
        note(lambda: manager.request("GET", self._url))
        note(lambda: manager.request("GET", self._nobody, retries=False))
        manager.clear()
        return found


@pytest.fixture
def traffic(server: HTTP1Server) -> _Traffic:
    """Requests to a server, and to a port without one."""
    return _Traffic(server.url(), "http://127.0.0.1:9/")


EVERYTHING = {"metrics": "full", "time_in_queue": True, "span_min_duration": 0}
"""Settings that record as much as possible."""


@pytest.mark.parametrize(("owner", "name"), PARTS, ids=lambda part: getattr(part, "__name__", part))
def test_own_failure_does_not_reach_a_request(
    owner, name, traffic, instrument, monkeypatch, caplog
):
    """Results stay the same. Each kind of failure is counted and logged once."""
    expected = traffic.results()
    error = ERRORS[PARTS.index((owner, name)) % len(ERRORS)]
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(watch, "INTERVAL", 0.01)
        fails, count = _raising(error)
        patch.setattr(Outbox.__init__, "__defaults__", (4,))  # soon half full
        patch.setattr(owner, name, fails)
        telemetry = instrument(**EVERYTHING)
        # The metric may be the part that fails.
        caught = installed().registry.failures.counts
        for _ in range(2):
            assert traffic.results() == expected
        telemetry.collect()
        if name not in RARE:
            # The watch runs periodically, and checks some things only during a request.
            wait_until(lambda: caught or traffic.results() != expected)
        kinds = len(telemetry.points(semconv.INSTRUMENTATION_ERRORS))
        assert bool(caught) is (name not in RARE)
        assert bool(count()) is (name not in RARE)
        GlueLLMInstrumentor().uninstrument()
    logged = [record for record in caplog.records if "gluellm" in record.name]
    failed = [record.getMessage() for record in logged if "failed in" in record.getMessage()]
    assert len(failed) == len(set(failed)) <= kinds + 1
    assert [record for record in logged if record.exc_info] == []
    assert traffic.results() == expected


@pytest.mark.parametrize(
    ("module", "name", "library"),
    [
        (core_requests, "error_type", "httpx2"),
        (urllib3_requests, "failure_of", "urllib3"),
        (aiohttp_failures, "before_sending", "aiohttp"),
    ],
)
def test_failure_without_a_name_is_reported_as_other(
    module, name, library, server, traffic, instrument, monkeypatch
):
    monkeypatch.setattr(module, name, _raising(RuntimeError)[0])
    telemetry = instrument(**EVERYTHING)
    traffic.results()

    async def ask() -> None:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get("http://127.0.0.1:9/")

    asyncio.run(ask())
    with urllib3.PoolManager(maxsize=1, block=True) as manager:
        held = manager.request("GET", server.url(), preload_content=False)
        with pytest.raises(urllib3.exceptions.EmptyPoolError):
            manager.connection_from_url(server.url()).urlopen("GET", "/", pool_timeout=0.005)
        held.release_conn()
    requests = telemetry.by(semconv.REQUESTS, "library", "error")
    errors = {error for of, error in requests if of == library}
    assert "_OTHER" in errors
    assert not errors & {"cancelled", "pool_timeout"}
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0


def test_requests_succeed_without_an_sdk_and_nothing_is_logged(traffic, caplog):
    """With the API alone, all providers are no-ops."""
    expected = traffic.results()
    GlueLLMInstrumentor().instrument(scope="all", span_min_duration=0)
    assert traffic.results() == expected
    GlueLLMInstrumentor().uninstrument()
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []


class _Failing:
    """An SDK in which one function of the API raises."""

    def __init__(self, name: str, good: Any, fails: Callable[..., Any]) -> None:
        self._name = name
        self._good = good
        self._fails = fails

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._good, name)
        if not callable(value) or name.startswith("__"):
            return value
        if name == self._name:
            return self._fails

        def call(*args: Any, **kwargs: Any) -> Any:
            made = value(*args, **kwargs)
            return _Failing(self._name, made, self._fails) if made is not None else None

        return call


API = (
    "get_meter",
    "create_histogram",
    "create_observable_counter",
    "create_observable_up_down_counter",
    "create_observable_gauge",
    "record",
    "start_span",
    "set_attribute",
    "set_status",
    "end",
    "get_span_context",
)


@pytest.mark.parametrize("name", API)
def test_failing_sdk_does_not_reach_a_request(name, traffic, caplog):
    """``instrument()`` and ``uninstrument()`` don't raise either."""
    expected = traffic.results()
    telemetry = Telemetry()
    fails, count = _raising(RuntimeError)
    with caplog.at_level(logging.WARNING):
        GlueLLMInstrumentor().instrument(
            scope="all",
            metrics="full",
            span_min_duration=0,
            meter_provider=_Failing(name, telemetry.meter_provider, fails),
            tracer_provider=_Failing(name, telemetry.tracer_provider, fails),
        )
        try:
            for _ in range(2):
                assert traffic.results() == expected
                telemetry.collect()
        finally:
            GlueLLMInstrumentor().uninstrument()
    assert count()
    logged = [r.getMessage() for r in caplog.records if "gluellm" in r.name]
    assert len(logged) == len(set(logged)) <= 3
    assert traffic.results() == expected

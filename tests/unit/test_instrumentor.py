"""Bad input leads to a clear error, and leaves nothing installed."""

import contextlib
import functools
import logging
import sys
from collections.abc import Iterator
from typing import Any

import httpcore
import httpcore2
import httpx
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, config, failures, snapshot
from opentelemetry.instrumentation.gluellm.failures import Failures
from opentelemetry.instrumentation.gluellm.limits import reset_pools
from opentelemetry.instrumentation.gluellm.patching import Hooks
from opentelemetry.instrumentation.gluellm.pool.registry import PoolRegistry
from opentelemetry.instrumentation.gluellm.telemetry import logs

POOLS = [
    getattr(core, kind)
    for core in (httpcore, httpcore2)
    for kind in ("ConnectionPool", "AsyncConnectionPool")
]
LOGGER = "opentelemetry.instrumentation.gluellm"


def methods() -> list[Any]:
    """The pools' methods, one after the other."""
    return [value for pool in POOLS for value in vars(pool).values() if callable(value)]


@contextlib.contextmanager
def installing_nothing() -> Iterator[None]:
    """Assert that the block changes no method and leaves no installation."""
    before = methods()
    yield
    assert [a is b for a, b in zip(methods(), before, strict=True)] == [True] * len(before)
    assert GlueLLMInstrumentor._installation is None
    assert not GlueLLMInstrumentor().is_instrumented_by_opentelemetry


@pytest.fixture(autouse=True)
def off() -> Iterator[None]:
    """The instrumentation is off after a test."""
    yield
    if GlueLLMInstrumentor().is_instrumented_by_opentelemetry:
        GlueLLMInstrumentor().uninstrument()
    installation = GlueLLMInstrumentor._installation
    if installation is not None:
        GlueLLMInstrumentor._installation = None
        installation.uninstall()


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("scope", "any_llm", "^scope='any_llm'.*\"llm\""),
        ("peak_window", float("inf"), "^peak_window=inf.*above 0"),
        ("max_origin", 5, "max_origin'"),
    ],
)
def test_wrong_setting_raises_and_installs_nothing(setting, value, message):
    """A misspelt setting would otherwise be ignored silently. The next call works."""
    with installing_nothing(), pytest.raises((ValueError, TypeError), match=message):
        GlueLLMInstrumentor().instrument(**{setting: value})
    GlueLLMInstrumentor().uninstrument()  # harmless
    GlueLLMInstrumentor().instrument(scope="all")
    assert GlueLLMInstrumentor._installation is not None
    GlueLLMInstrumentor().uninstrument()
    assert GlueLLMInstrumentor._installation is None


@pytest.mark.parametrize("seconds", [1e10, 1e300, sys.float_info.max, 10**300], ids="{:.0e}".format)
def test_any_finite_number_of_seconds_is_accepted(seconds):
    """Centuries must not overflow when they are converted to nanoseconds."""
    settings = ("span_min_duration", "peak_window", "leak_threshold")
    GlueLLMInstrumentor().instrument(**dict.fromkeys(settings, seconds))
    assert GlueLLMInstrumentor._installation is not None
    str(snapshot())


@pytest.mark.parametrize("variable", ["SPAN_MIN_DURATION", "PEAK_WINDOW", "LEAK_THRESHOLD", None])
def test_any_number_in_the_environment_lets_the_program_start(monkeypatch, variable):
    """A finite number is accepted; for another one, the default is used."""
    name = f"OTEL_PYTHON_GLUELLM_{variable}" if variable else config.EXPORT_INTERVAL_VARIABLE
    for text in ("1e303", "1e308", "1e400", "9" * 400, "9" * 5000):
        monkeypatch.setattr(failures, "_warned", set())
        monkeypatch.setenv(name, text)
        GlueLLMInstrumentor().instrument()
        assert GlueLLMInstrumentor._installation is not None
        GlueLLMInstrumentor().uninstrument()


class BrokenLogError(Exception):
    """What the application's log raises."""


def broken_filter(_: Any) -> bool:
    raise BrokenLogError


class BrokenHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise BrokenLogError


@pytest.fixture(params=["filter", "record factory", "handler"])
def broken_log(request: pytest.FixtureRequest) -> Iterator[None]:
    """A log with a filter, factory or handler that raises for each record of this package."""
    logger, handler = logging.getLogger(LOGGER), BrokenHandler()
    factory = logging.getLogRecordFactory()

    def broken_factory(name: str, *arguments: Any, **further: Any) -> logging.LogRecord:
        if name.startswith(LOGGER):
            raise BrokenLogError
        return factory(name, *arguments, **further)

    if request.param == "filter":
        logger.addFilter(broken_filter)
    elif request.param == "handler":
        logger.addHandler(handler)
    else:
        logging.setLogRecordFactory(broken_factory)
    with pytest.raises(BrokenLogError):
        logger.warning("it is broken")
    yield
    logger.removeFilter(broken_filter)
    logger.removeHandler(handler)
    logging.setLogRecordFactory(factory)


@pytest.mark.usefixtures("broken_log")
@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("OTEL_PYTHON_GLUELLM_MAX_ORIGINS", "many"),
        ("OTEL_PYTHON_GLUELLM_MAX_ORIGIN", "20"),
        ("OTEL_PYTHON_GLUELLM_SNAPSHOT_SIGNAL", "SIGKILL"),
        ("OTEL_PYTHON_GLUELLM_POOL_MAX_CONNECTIONS", "many"),
    ],
)
def test_log_that_raises_loses_only_the_warning_of_a_variable(monkeypatch, variable, text):
    """A wrong variable and a failing log let the program start."""
    monkeypatch.setattr(failures, "_warned", set())
    monkeypatch.setenv(variable, text)
    try:
        GlueLLMInstrumentor().instrument()
        assert GlueLLMInstrumentor._installation is not None
    finally:
        reset_pools()  # limits of the environment stay until then


@pytest.mark.usefixtures("broken_log")
def test_log_that_raises_stops_nothing_that_is_found_while_installing(monkeypatch):
    """A missing package, a missing hook and an own failure are logged meanwhile."""
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.httpx", None)
    GlueLLMInstrumentor().instrument(http_spans=True)
    assert GlueLLMInstrumentor._installation is not None
    logs.warn_of_missing_hooks(Hooks("httpcore", "0", {"pool": False}))
    failures = Failures()
    failures.caught("test", RuntimeError())
    logs.warn_of_failures(failures)
    assert list(failures.unreported()) == []


@pytest.mark.parametrize("client_only", [False, True], ids=["whole", "one client"])
@pytest.mark.parametrize(
    ("setting", "given", "described"),
    [
        ("meter_provider", "http://collector:4317", "a text of 21 characters"),
        ("tracer_provider", "http://collector:4317", "a text of 21 characters"),
        ("meter_provider", MeterProvider, "the class MeterProvider"),
        ("tracer_provider", TracerProvider, "the class TracerProvider"),
        ("meter_provider", TracerProvider(), "an object of type TracerProvider"),
    ],
)
def test_wrong_provider_is_refused(setting, given, described, client_only):
    """The error names the setting, what it was given and what is allowed; nothing is patched."""
    allowed = "an OpenTelemetry provider instance or None"
    instrument = GlueLLMInstrumentor().instrument
    if client_only:
        instrument = functools.partial(GlueLLMInstrumentor.instrument_client, httpx.Client())
    message = f"^{setting} must be {allowed}, not {described}$"
    with installing_nothing(), pytest.raises(ValueError, match=message):
        instrument(**{setting: given})


def test_failure_while_installing_is_undone(monkeypatch):
    """A partial installation would patch silently."""
    from opentelemetry.instrumentation.gluellm import installation

    def fail(*_):
        raise RuntimeError

    monkeypatch.setattr(installation.AnyLLMAttribution, "install", fail)
    with installing_nothing(), pytest.raises(RuntimeError):
        GlueLLMInstrumentor().instrument(scope="all")


# Single clients


@pytest.mark.parametrize("name", ["", "x" * 65, "two\nlines", "tab\t", "\x00", 5, b"bytes"])
def test_wrong_pool_name_raises_and_installs_nothing(name):
    """A label must be short and printable: up to 64 characters of any language."""
    with httpx.Client() as client:
        with installing_nothing(), pytest.raises(ValueError, match="pool_name is "):
            GlueLLMInstrumentor.instrument_client(client, name)
        GlueLLMInstrumentor.uninstrument_client(client)  # harmless
        for printable in ("x", "x" * 64, "search backend", "Übersetzung"):
            GlueLLMInstrumentor.instrument_client(client, printable)
            GlueLLMInstrumentor.uninstrument_client(client)


NO_CLIENTS = (None, "openai", object(), httpx, httpx.Client)


@pytest.mark.parametrize("client", [*NO_CLIENTS, httpx.Client(transport=httpx.MockTransport(str))])
@pytest.mark.parametrize("method", ["instrument_client", "uninstrument_client"])
def test_what_is_no_client_raises_and_installs_nothing(client, method):
    """The message says what is expected."""
    message = "expected an httpx or httpx2 Client"
    with installing_nothing(), pytest.raises(TypeError, match=message):
        getattr(GlueLLMInstrumentor, method)(client)


def test_wrong_setting_leaves_instrumented_clients_alone():
    """A mistake in instrument() must not undo an earlier instrument_client()."""
    with httpx.Client() as client:
        GlueLLMInstrumentor.instrument_client(client, "mine")
        before = GlueLLMInstrumentor._installation
        with pytest.raises(ValueError):
            GlueLLMInstrumentor().instrument(scope="none")
        assert GlueLLMInstrumentor._installation is before
        assert before is not None
        assert isinstance(before.registry, PoolRegistry)
        GlueLLMInstrumentor.uninstrument_client(client)

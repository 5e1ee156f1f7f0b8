"""What the instrumentor does with bad input: a clear error, and nothing is left behind."""

from __future__ import annotations

import contextlib
import functools
import logging
import signal
import sys
from collections.abc import Iterator
from typing import Any

import any_llm
import httpcore
import httpcore2
import httpx
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, config, snapshot
from opentelemetry.instrumentation.gluellm.attribution import calls
from opentelemetry.instrumentation.gluellm.limits import configure, reset_pools
from opentelemetry.instrumentation.gluellm.pool.guard import Failures
from opentelemetry.instrumentation.gluellm.pool.registry import PoolRegistry
from opentelemetry.instrumentation.gluellm.pool.seams import Seams
from opentelemetry.instrumentation.gluellm.telemetry import logs

POOLS = [
    httpcore.ConnectionPool,
    httpcore.AsyncConnectionPool,
    httpcore2.ConnectionPool,
    httpcore2.AsyncConnectionPool,
]
LOGGER = "opentelemetry.instrumentation.gluellm"


def methods() -> list[Any]:
    """The pools' methods, one after the other."""
    return [value for pool in POOLS for value in vars(pool).values() if callable(value)]


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
    ("setting", "value", "allowed"),
    [
        ("scope", "everything", '"any_llm" or "all"'),
        ("http_spans", "yes", "True or False"),
        ("metrics", None, '"lean" or "full"'),
        ("span_min_duration", -1, "at least 0"),
        ("max_origins", 100_000, "from 1 to 200"),
        ("peak_window", float("inf"), "above 0"),
    ],
)
def test_wrong_setting_raises_and_installs_nothing(
    setting: str, value: object, allowed: str
) -> None:
    """The message names the setting, the value and what is allowed."""
    before = methods()
    with pytest.raises(ValueError) as raised:
        GlueLLMInstrumentor().instrument(**{setting: value})
    for part in (setting, repr(value), allowed):
        assert part in str(raised.value)
    assert methods() == before
    assert GlueLLMInstrumentor._installation is None
    assert not GlueLLMInstrumentor().is_instrumented_by_opentelemetry


def test_unknown_setting_raises_and_installs_nothing() -> None:
    """A misspelt one would otherwise be off without a word."""
    before = methods()
    with pytest.raises(TypeError, match="max_origin'"):
        GlueLLMInstrumentor().instrument(max_origin=5)
    assert methods() == before


def test_instrument_works_after_a_mistake() -> None:
    """The next call with a right value is as the first."""
    with pytest.raises(ValueError):
        GlueLLMInstrumentor().instrument(scope="none")
    GlueLLMInstrumentor().instrument(scope="all")
    assert GlueLLMInstrumentor._installation is not None
    GlueLLMInstrumentor().uninstrument()
    assert GlueLLMInstrumentor._installation is None


def test_wrong_environment_variable_is_told_once_and_the_default_holds(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It must not keep a program from starting."""
    monkeypatch.setattr(config, "_warned", set())
    monkeypatch.setenv("OTEL_PYTHON_GLUELLM_MAX_ORIGINS", "many")
    with caplog.at_level(logging.WARNING, logger=LOGGER):
        for _ in range(2):
            GlueLLMInstrumentor().instrument()
            installation = GlueLLMInstrumentor._installation
            assert installation is not None
            assert installation.registry.max_origins == 20
            GlueLLMInstrumentor().uninstrument()
    (record,) = caplog.records
    message = record.getMessage()
    for part in ("OTEL_PYTHON_GLUELLM_MAX_ORIGINS", "'many'", "from 1 to 200", "20"):
        assert part in message


@pytest.mark.parametrize("seconds", [1e10, 1e300, sys.float_info.max, 10**300], ids="{:.0e}".format)
@pytest.mark.parametrize("setting", ["span_min_duration", "peak_window", "leak_threshold"])
def test_any_finite_number_of_seconds_is_taken(setting: str, seconds: float) -> None:
    """Centuries mean for ever: they must not overflow on the way to nanoseconds."""
    GlueLLMInstrumentor().instrument(**{setting: seconds})
    assert GlueLLMInstrumentor._installation is not None
    str(snapshot())


@pytest.mark.parametrize(
    "variable",
    [
        "OTEL_PYTHON_GLUELLM_SPAN_MIN_DURATION",
        "OTEL_PYTHON_GLUELLM_PEAK_WINDOW",
        "OTEL_PYTHON_GLUELLM_LEAK_THRESHOLD",
        config.EXPORT_INTERVAL_VARIABLE,
    ],
)
@pytest.mark.parametrize("text", ["1e303", "1e308", "1e400", "9" * 400, "9" * 5000], ids=len)
def test_no_number_in_the_environment_keeps_a_program_from_starting(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str
) -> None:
    """It is for ever where it is finite, and else a wrong one: the default holds."""
    monkeypatch.setattr(config, "_warned", set())
    monkeypatch.setenv(variable, text)
    GlueLLMInstrumentor().instrument()
    assert GlueLLMInstrumentor._installation is not None


class BrokenLogError(Exception):
    """What the application's log raises."""


@pytest.fixture(params=["filter", "record factory", "handler"])
def broken_log(request: pytest.FixtureRequest) -> Iterator[None]:
    """A set-up of the log, one of its parts, that raises with our every record."""
    logger, factory = logging.getLogger(LOGGER), logging.getLogRecordFactory()

    def broken_filter(_: logging.LogRecord) -> bool:
        raise BrokenLogError

    def broken_factory(name: str, *arguments: Any, **further: Any) -> logging.LogRecord:
        if name.startswith(LOGGER):
            raise BrokenLogError
        return factory(name, *arguments, **further)

    class BrokenHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise BrokenLogError

    handler = BrokenHandler()
    if request.param == "filter":
        logger.addFilter(broken_filter)
    elif request.param == "handler":
        logger.addHandler(handler)
    else:
        logging.setLogRecordFactory(broken_factory)
    with contextlib.suppress(BrokenLogError):
        logger.warning("it is broken")
        pytest.fail("the log is not broken")
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
def test_log_that_raises_costs_the_warning_of_a_variable_alone(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str
) -> None:
    """Neither a wrong variable nor the log may keep a program from starting."""
    monkeypatch.setattr(config, "_warned", set())
    monkeypatch.setattr(configure, "_warned", set())
    monkeypatch.setenv(variable, text)
    try:
        GlueLLMInstrumentor().instrument()
        assert GlueLLMInstrumentor._installation is not None
    finally:
        reset_pools()  # what the environment asks for stays until then


@pytest.mark.usefixtures("broken_log")
def test_log_that_raises_stops_nothing_that_is_found_while_installing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A missing package, a missing seam and a failure of our own are told in there."""
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.httpx", None)
    GlueLLMInstrumentor().instrument(http_spans=True)
    assert GlueLLMInstrumentor._installation is not None
    logs.warn_of_missing_seams(Seams("httpcore", "0", {"pool": False}))
    failures = Failures()
    failures.caught("test", RuntimeError())
    logs.warn_of_failures(failures)
    assert list(failures.unreported()) == []


def test_signal_handler_that_raises_while_a_warning_is_logged_is_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It ends what the application wants to have ended: that is no failure of the log."""

    def end(*_: Any) -> None:
        raise BrokenLogError

    def interrupted(_: logging.LogRecord) -> bool:
        signal.raise_signal(signal.SIGINT)
        return True

    monkeypatch.setattr(config, "_warned", set())
    monkeypatch.setenv("OTEL_PYTHON_GLUELLM_MAX_ORIGINS", "many")
    before = signal.signal(signal.SIGINT, end)
    logging.getLogger(LOGGER).addFilter(interrupted)
    try:
        with pytest.raises(BrokenLogError):
            GlueLLMInstrumentor().instrument()
    finally:
        logging.getLogger(LOGGER).removeFilter(interrupted)
        signal.signal(signal.SIGINT, before)
    assert GlueLLMInstrumentor._installation is None


@pytest.mark.parametrize("client_only", [False, True], ids=["whole", "one client"])
@pytest.mark.parametrize(
    ("setting", "given", "described"),
    [
        ("meter_provider", "http://collector:4317", "a text of 21 characters"),
        ("tracer_provider", "http://collector:4317", "a text of 21 characters"),
        ("meter_provider", MeterProvider, "the class MeterProvider"),
        ("tracer_provider", TracerProvider, "the class TracerProvider"),
        ("meter_provider", TracerProvider(), "something of the type TracerProvider"),
    ],
)
def test_wrong_provider_is_refused(
    setting: str, given: Any, described: str, client_only: bool
) -> None:
    """The error names the setting, what it was given and what is allowed; nothing is patched."""
    before = methods()
    allowed = "an OpenTelemetry provider instance or None"
    instrument: Any = GlueLLMInstrumentor().instrument
    if client_only:
        instrument = functools.partial(GlueLLMInstrumentor.instrument_client, httpx.Client())
    with pytest.raises(ValueError, match=f"^{setting} must be {allowed}, not {described}$"):
        instrument(**{setting: given})
    assert methods() == before
    assert GlueLLMInstrumentor._installation is None
    assert not GlueLLMInstrumentor().is_instrumented_by_opentelemetry


def test_log_names_the_failure_of_an_attribution(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With the exception that was caught, so that its cause can be found."""

    def broken(_: Any) -> str:
        raise ZeroDivisionError

    reader = InMemoryMetricReader()
    GlueLLMInstrumentor().instrument(meter_provider=MeterProvider([reader]))
    monkeypatch.setattr(calls, "provider_key", broken)
    any_llm.AnyLLM.create("openai", api_key="k")
    reader.get_metrics_data()
    lines = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    assert [line for line in lines if "attribution.call with ZeroDivisionError" in line]


def test_failure_while_installing_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an installation would patch without telling anybody."""
    from opentelemetry.instrumentation.gluellm import installation

    def fail(*_: Any) -> None:
        raise RuntimeError

    before = methods()
    monkeypatch.setattr(installation.AnyLLMAttribution, "install", fail)
    with pytest.raises(RuntimeError):
        GlueLLMInstrumentor().instrument(scope="all")
    assert [a is b for a, b in zip(methods(), before, strict=True)] == [True] * len(before)
    assert GlueLLMInstrumentor._installation is None


def test_uninstrument_without_instrument_is_harmless() -> None:
    """The base class logs that there was nothing to do."""
    GlueLLMInstrumentor().uninstrument()
    assert GlueLLMInstrumentor._installation is None


def test_nothing_is_required() -> None:
    """A dependency that is demanded and missing would turn the whole off without a word."""
    assert tuple(GlueLLMInstrumentor().instrumentation_dependencies()) == ()


# Single clients


@pytest.mark.parametrize("name", ["", "x" * 65, "two\nlines", "tab\t", "\x00", 5, b"bytes"])
def test_wrong_pool_name_raises_and_installs_nothing(name: Any) -> None:
    """A label must be short and printable."""
    before = methods()
    with httpx.Client() as client, pytest.raises(ValueError, match="pool_name="):
        GlueLLMInstrumentor.instrument_client(client, name)
    assert methods() == before
    assert GlueLLMInstrumentor._installation is None


@pytest.mark.parametrize("name", ["x", "x" * 64, "search backend", "Übersetzung"])
def test_printable_pool_name_is_taken(name: str) -> None:
    """Up to 64 characters of any language."""
    with httpx.Client() as client:
        GlueLLMInstrumentor.instrument_client(client, name)
        GlueLLMInstrumentor.uninstrument_client(client)


@pytest.mark.parametrize(
    "client",
    [
        None,
        "openai",
        object(),
        httpx,
        httpx.Client,
        httpx.Client(transport=httpx.MockTransport(str)),
    ],
)
def test_what_is_no_client_raises_and_installs_nothing(client: Any) -> None:
    """The message says what is expected."""
    before = methods()
    for method in (
        GlueLLMInstrumentor.instrument_client,
        GlueLLMInstrumentor.uninstrument_client,
    ):
        with pytest.raises(TypeError, match="expected an httpx or httpx2 Client"):
            method(client)
    assert methods() == before
    assert GlueLLMInstrumentor._installation is None


def test_client_that_was_never_instrumented_can_be_taken_out() -> None:
    """Harmless, and nothing is installed for it."""
    with httpx.Client() as client:
        GlueLLMInstrumentor.uninstrument_client(client)
    assert GlueLLMInstrumentor._installation is None


def test_wrong_setting_leaves_instrumented_clients_alone() -> None:
    """instrument_client() was there first: a mistake in instrument() must not take it away."""
    with httpx.Client() as client:
        GlueLLMInstrumentor.instrument_client(client, "mine")
        before = GlueLLMInstrumentor._installation
        with pytest.raises(ValueError):
            GlueLLMInstrumentor().instrument(scope="none")
        assert GlueLLMInstrumentor._installation is before
        assert before is not None
        assert isinstance(before.registry, PoolRegistry)
        GlueLLMInstrumentor.uninstrument_client(client)

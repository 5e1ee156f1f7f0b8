"""The log line about a program that sets a TracerProvider and no MeterProvider."""

import pytest
from opentelemetry.metrics import NoOpMeterProvider

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from support.clock import Clock
from support.installation import installed
from support.telemetry import Telemetry

LINE = (
    "There is a TracerProvider but no MeterProvider: spans are recorded, metrics are not. Call "
    "opentelemetry.metrics.set_meter_provider(), or pass meter_provider= to instrument()."
)


@pytest.mark.parametrize(
    ("given", "lines"),
    [
        (("tracer_provider",), [LINE]),
        ((), []),
        (("meter_provider",), []),
        (("tracer_provider", "meter_provider"), []),
    ],
    ids=" and ".join,
)
def test_missing_meter_provider_is_logged_once_after_a_minute(
    given: tuple[str, ...], lines: list[str], untouched: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """Not earlier, since programs may set their providers after ``instrument()``."""
    GlueLLMInstrumentor().instrument(**{name: getattr(untouched, name) for name in given})
    clock = Clock()
    clock.advance(59)
    installed()._watch.run_pass()
    assert caplog.messages == []
    clock.advance(1)
    for _ in range(2):
        installed()._watch.run_pass()
    assert caplog.messages == lines


def test_no_line_if_metrics_are_turned_off_on_purpose(
    untouched: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    GlueLLMInstrumentor().instrument(
        meter_provider=NoOpMeterProvider(), tracer_provider=untouched.tracer_provider
    )
    Clock().advance(60)
    installed()._watch.run_pass()
    assert caplog.messages == []

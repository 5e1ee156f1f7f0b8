"""The setting ``snapshot_signal``: on with instrument(), off with uninstrument()."""

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from support.waiting import wait_until

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="no such signals here")

VARIABLE = "OTEL_PYTHON_GLUELLM_SNAPSHOT_SIGNAL"


@pytest.fixture(autouse=True)
def instrumentor(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GlueLLMInstrumentor]:
    """An instrumentor that is off before and after, with its own directory."""
    monkeypatch.delenv(VARIABLE, raising=False)
    made = GlueLLMInstrumentor()
    yield made
    if made.is_instrumented_by_opentelemetry:
        made.uninstrument()
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)


def test_the_signal_writes_snapshot_and_findings_to_the_log(instrumentor, caplog):
    """The level is WARNING, which is shown without any logging configuration."""
    instrumentor.instrument(snapshot_signal="SIGUSR2")
    os.kill(os.getpid(), signal.SIGUSR2)
    wait_until(lambda: caplog.records, "a report")
    (record,) = caplog.records
    assert record.name == "opentelemetry.instrumentation.gluellm"
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("Report on SIGUSR2:\n")
    assert f"pools of process {os.getpid()}" in record.getMessage()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SIGKILL", "snapshot_signal='SIGKILL'"),
        ("SIGNONE", "snapshot_signal='SIGNONE'"),
        ("SIGUSR2", r"is taken by the handler .*theirs"),
    ],
)
def test_unusable_signal_is_refused_and_everything_undone(instrumentor, name, message):
    """A later instrument() without the signal works."""
    signal.signal(signal.SIGUSR2, theirs)
    with pytest.raises(ValueError, match=message):
        instrumentor.instrument(snapshot_signal=name)
    assert not instrumentor.is_instrumented_by_opentelemetry
    instrumentor.instrument()
    assert instrumentor.is_instrumented_by_opentelemetry


@pytest.mark.parametrize(
    ("value", "message"),
    [("SIGUSR2", "is taken by the handler"), ("SIGKILL", 'allowed is None, "SIGUSR1"')],
)
def test_unusable_signal_in_the_environment_is_a_warning(
    instrumentor, monkeypatch, caplog, value, message
):
    """One warning, and everything else is on."""
    monkeypatch.setenv(VARIABLE, value)
    signal.signal(signal.SIGUSR2, theirs)
    instrumentor.instrument()
    assert instrumentor.is_instrumented_by_opentelemetry
    (record,) = caplog.records
    assert message in record.getMessage()
    assert signal.getsignal(signal.SIGUSR2) is theirs


def theirs(*_: object) -> None:
    """A handler of the application's."""

"""Which signals can request a report, and the errors for others."""

import signal

import pytest

from opentelemetry.instrumentation.gluellm.snapshots.on_signal.signals import signal_number

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="no such signals here")


REFUSED = {
    "there is no such signal here": ("SIGNONE", "sigusr2", "", "12"),
    "a meaning of its own": (
        "SIGKILL",
        "SIGSTOP",
        "SIGINT",
        "SIGTERM",
        "SIGHUP",
        "SIGSEGV",
        "SIGCHLD",
    ),
}


@pytest.mark.parametrize(
    ("name", "message"), [(name, message) for message, names in REFUSED.items() for name in names]
)
def test_other_signals_are_refused_with_the_reason(name, message):
    """The error has the setting, the reason and the allowed signals."""
    with pytest.raises(ValueError, match=message) as refused:
        signal_number(name)
    assert f"snapshot_signal={name!r}" in str(refused.value)
    assert "SIGUSR1" in str(refused.value)


def test_user_and_real_time_signals_are_allowed():
    """They have no meaning of their own."""
    assert signal_number("SIGUSR1") == signal.SIGUSR1
    if hasattr(signal, "SIGRTMIN"):
        assert signal_number("SIGRTMIN+3") == signal.SIGRTMIN + 3
        assert signal_number("SIGRTMAX") == signal.SIGRTMAX


def test_system_without_signals_raises_with_advice(monkeypatch):
    """For example Windows."""
    for name in ("SIGUSR1", "SIGUSR2", "SIGRTMIN", "SIGRTMAX"):
        monkeypatch.delattr(signal, name, raising=False)
    with pytest.raises(ValueError, match=r"call snapshot\(\) instead"):
        signal_number("SIGUSR2")

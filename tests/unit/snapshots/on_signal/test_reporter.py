"""Reports on a signal: which signals are free, reports, and removal."""

import faulthandler
import json
import os
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from opentelemetry.instrumentation.gluellm.snapshots.on_signal import reporter as on_signal
from opentelemetry.instrumentation.gluellm.snapshots.on_signal.rendezvous import Directory
from opentelemetry.instrumentation.gluellm.snapshots.on_signal.reporter import SignalReporter
from support.waiting import wait_until

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="no such signals here"),
    pytest.mark.usefixtures("place"),
]


class Taken:
    """Stands in for a snapshot."""

    def to_dict(self) -> dict[str, Any]:
        return {"taken": True}

    def __str__(self) -> str:
        return "what was found"


def theirs(*_: object) -> None:
    """A handler of the application's."""


@pytest.fixture
def logged() -> list[str]:
    """What was written to the log."""
    return []


@pytest.fixture
def reporter(logged: list[str]) -> Iterator[SignalReporter]:
    """A reporter for SIGUSR2, which is uninstalled at the end."""
    made = SignalReporter("SIGUSR2", Taken, str, logged.append)
    yield made
    made.uninstall()


# Signals that are in use


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows faulthandler's handlers")
def test_a_signal_of_faulthandler_is_refused(reporter):
    """Its handler is set in C, without signal.signal()."""
    with Path(os.devnull).open("w") as nowhere:
        faulthandler.register(signal.SIGUSR2, file=nowhere)
        try:
            with pytest.raises(ValueError, match="faulthandler"):
                reporter.install()
        finally:
            faulthandler.unregister(signal.SIGUSR2)


def test_installation_in_another_thread_is_refused(reporter):
    """Python sets handlers in the main thread only. The error has no text of the application."""
    with ThreadPoolExecutor(1, thread_name_prefix="a worker") as executor:
        error = executor.submit(reporter.install).exception()
    assert isinstance(error, ValueError)
    assert "main thread" in str(error)
    assert "a worker" not in str(error)
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL


# On and off


def descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


@pytest.mark.parametrize("before", [signal.SIG_DFL, signal.SIG_IGN])
def test_uninstall_leaves_no_handler_descriptor_thread_or_file(before, reporter, place):
    """The handler is the identical one, and the numbers are those from before."""
    original = signal.signal(signal.SIGUSR2, before)
    try:
        threads, open_before = set(threading.enumerate()), descriptors()
        for _ in range(3):
            reporter.install()
            assert len(set(threading.enumerate()) - threads) == 1
            assert [entry.name for entry in place.iterdir()] == [f"{os.getpid()}.json"]
            reporter.uninstall()
            assert signal.getsignal(signal.SIGUSR2) is before
            wait_until(lambda: set(threading.enumerate()) <= threads, "its end")
            assert descriptors() == open_before
            assert not list(place.iterdir())
    finally:
        signal.signal(signal.SIGUSR2, original)


def test_nothing_stays_open_if_no_thread_can_start(reporter, logged, monkeypatch):
    """The reporter logs it."""
    open_before = descriptors()

    def no_thread(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    reporter.install()
    assert descriptors() == open_before
    assert "No reports on SIGUSR2" in logged[0]


def test_handler_that_was_set_later_stays(reporter):
    """Uninstalling removes only the package's own handler."""
    reporter.install()
    signal.signal(signal.SIGUSR2, theirs)
    reporter.uninstall()
    assert signal.getsignal(signal.SIGUSR2) is theirs
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)


def test_report_is_logged_until_uninstall(reporter, logged):
    """Uninstalling in another thread leaves a handler that does nothing: the default kills."""
    reporter.install()
    thread = threading.Thread(target=reporter.uninstall)
    thread.start()
    thread.join()
    os.kill(os.getpid(), signal.SIGUSR2)
    assert not logged
    reporter.install()  # the signal is free
    os.kill(os.getpid(), signal.SIGUSR2)
    wait_until(lambda: logged, "a report")
    assert logged == ["Report on SIGUSR2:\nwhat was found"]
    reporter.uninstall()
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL


def test_entry_never_grows_old(reporter, logged, place, monkeypatch):
    """Otherwise systemd-tmpfiles would remove it. Reports continue."""
    monkeypatch.setattr(on_signal, "_FIRST_LOOK", 0.01)
    reporter.install()
    entry = place / f"{os.getpid()}.json"
    os.utime(entry, (0, 0))
    wait_until(lambda: entry.stat().st_mtime, "a young entry")
    os.kill(os.getpid(), signal.SIGUSR2)
    wait_until(lambda: logged, "a report")


def test_entry_names_a_handler_that_has_replaced_the_reporters(reporter, place, monkeypatch):
    """Servers replace it after instrument(). The entry changes back as well."""
    monkeypatch.setattr(on_signal, "_FIRST_LOOK", 0.01)
    reporter.install()
    entry = place / f"{os.getpid()}.json"
    own = signal.signal(signal.SIGUSR2, theirs)
    for handler, name in ((None, f"{__name__}.theirs"), (signal.SIG_IGN, "SIG_IGN"), (own, None)):
        if handler:
            signal.signal(signal.SIGUSR2, handler)
        wait_until(lambda name=name: json.loads(entry.read_text())["handler_replaced_by"] == name)


@pytest.mark.parametrize(
    "code", ["resource_tracker import main;main(6)", "forkserver import main; main(7, 8, ['x'])"]
)
def test_helper_of_multiprocessing_has_no_entry(code, reporter, place, monkeypatch):
    """It makes no calls. A process that is forked by it makes some."""
    monkeypatch.setattr(sys, "orig_argv", ["python", "-c", f"from multiprocessing.{code}"])
    reporter.install()
    assert not place.exists()
    reporter.after_fork_in_child()
    assert [one.name for one in place.iterdir()] == [f"{os.getpid()}.json"]


def test_failures_are_reported_and_go_no_further():
    """The thread continues after a failed snapshot and after a failed log."""
    failures = []
    take = Mock(side_effect=[RuntimeError("broken"), Taken()])
    log = Mock(side_effect=OSError("full"))
    reporter = SignalReporter("SIGUSR2", take, str, log, lambda what, _: failures.append(what))
    reporter.install()
    try:
        for expected in (["report"], ["report", "report.log"]):
            os.kill(os.getpid(), signal.SIGUSR2)
            wait_until(lambda expected=expected: failures == expected, "a failure")
    finally:
        reporter.uninstall()


# The directory that the doctor reads


@pytest.mark.parametrize("trap", [0o770, 0o704, "a link", "a file"])
def test_directory_of_another_user_is_not_used(trap, reporter, logged, place):
    """This also holds for one that is open to others.

    One warning is logged, and reports still go to the log. A new directory is private.
    """
    reporter.install()
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert [stat.S_IMODE(entry.stat().st_mode) for entry in place.iterdir()] == [0o600]
    reporter.uninstall()
    place.rmdir()
    if isinstance(trap, int):
        place.mkdir()
        place.chmod(trap)
    elif trap == "a link":
        elsewhere = place.with_name("elsewhere")
        elsewhere.mkdir(mode=0o700)
        place.symlink_to(elsewhere)
    else:
        place.write_text("")
    with pytest.raises(OSError, match=str(place)):
        Directory.open()
    reporter.install()
    (warning,) = logged
    assert "Reports on SIGUSR2 go to the log only" in warning
    assert str(place) in warning
    os.kill(os.getpid(), signal.SIGUSR2)
    wait_until(lambda: len(logged) == 2, "a report")

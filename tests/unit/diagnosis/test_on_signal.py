"""Reports on a signal: who may have it, what it does, and that nothing stays behind.

What a signal does to a process is tried in child processes.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.diagnosis.on_signal import SignalReporter
from opentelemetry.instrumentation.gluellm.diagnosis.rendezvous import (
    Directory,
    Presence,
    Request,
    UnusableDirectoryError,
    presence_of,
)
from opentelemetry.instrumentation.gluellm.diagnosis.signal_names import signal_number
from support.waiting import wait_until

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="no such signals here")

PRELUDE = """
import os, signal, sys, threading, time
from opentelemetry.instrumentation.gluellm.diagnosis.on_signal import SignalReporter

class Report:
    def to_dict(self):
        return {"pid": os.getpid(), "thread": threading.current_thread().name}
    def __str__(self):
        return f"report of {os.getpid()}"

def log(text):
    print(text.replace("\\n", " "), flush=True)

reporter = SignalReporter("SIGUSR2", Report, log)
"""


class NoReport:
    """Stands in for a report."""

    def to_dict(self) -> dict[str, Any]:
        return {"taken": True}

    def __str__(self) -> str:
        return "what was found"


def no_report() -> Any:
    return NoReport()


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user's private directory comes to lie, for this process and its children."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path / f"gluellm-pools-{os.geteuid()}"


@pytest.fixture
def logged() -> list[str]:
    """What was written to the log."""
    return []


@pytest.fixture
def reporter(logged: list[str]) -> Iterator[SignalReporter]:
    """A reporter for SIGUSR2, which is off again in the end."""
    made = SignalReporter("SIGUSR2", no_report, logged.append)
    yield made
    made.uninstall()


@pytest.fixture
def start() -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start a child that runs some code; it is killed in the end."""
    children: list[subprocess.Popen[str]] = []

    def run(code: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(code)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        return child

    yield run
    for child in children:
        child.kill()
        child.communicate()


def line_of(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def ask(pid: int) -> dict[str, Any]:
    """Ask a process as the doctor does."""
    directory = Directory.open()
    assert presence_of(directory, pid)
    request = Request(directory, pid)
    os.kill(pid, signal.SIGUSR2)
    answer = wait_until(request.answer, "an answer")
    request.close()
    directory.close()
    return answer


# Which signals


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("SIGNONE", "there is no such signal here"),
        ("sigusr2", "there is no such signal here"),
        ("", "there is no such signal here"),
        ("12", "there is no such signal here"),
        ("SIGKILL", "no program can catch it"),
        ("SIGSTOP", "no program can catch it"),
        ("SIGINT", "a meaning of its own"),
        ("SIGTERM", "a meaning of its own"),
        ("SIGHUP", "a meaning of its own"),
        ("SIGSEGV", "a meaning of its own"),
        ("SIGCHLD", "a meaning of its own"),
    ],
)
def test_other_signals_are_refused_with_the_reason(name: str, said: str) -> None:
    """What was given, why not, and which are allowed."""
    with pytest.raises(ValueError, match=said) as refused:
        SignalReporter(name, no_report, print)
    assert f"snapshot_signal={name!r}" in str(refused.value)
    assert "SIGUSR1" in str(refused.value)


def test_user_and_real_time_signals_are_allowed() -> None:
    """Those that mean nothing by themselves."""
    assert signal_number("SIGUSR1") == signal.SIGUSR1
    if hasattr(signal, "SIGRTMIN"):
        assert signal_number("SIGRTMIN+3") == signal.SIGRTMIN + 3
        assert signal_number("SIGRTMAX") == signal.SIGRTMAX


def test_a_system_without_such_signals_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""
    for name in ("SIGUSR1", "SIGUSR2", "SIGRTMIN", "SIGRTMAX"):
        monkeypatch.delattr(signal, name, raising=False)
    with pytest.raises(ValueError, match=r"call snapshot\(\) instead"):
        SignalReporter("SIGUSR2", no_report, print)


def test_a_signal_that_somebody_has_stays_theirs(reporter: SignalReporter) -> None:
    """Refused with the name of who has it."""

    def theirs(*_: object) -> None: ...

    before = signal.signal(signal.SIGUSR2, theirs)
    try:
        with pytest.raises(ValueError, match=r"is taken by the handler .*theirs.*another one"):
            reporter.install()
        assert signal.getsignal(signal.SIGUSR2) is theirs
    finally:
        signal.signal(signal.SIGUSR2, before)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_a_signal_that_was_taken_past_python_is_seen(reporter: SignalReporter) -> None:
    """faulthandler sets its handler in C, and getsignal() goes on saying SIG_DFL."""
    with Path(os.devnull).open("w") as nowhere:
        faulthandler.register(signal.SIGUSR2, file=nowhere)
        try:
            with pytest.raises(ValueError, match="faulthandler"):
                reporter.install()
        finally:
            faulthandler.unregister(signal.SIGUSR2)


def test_another_thread_is_told_to_use_the_main_thread(reporter: SignalReporter) -> None:
    """Python allows handlers there only."""
    errors: list[str] = []

    def install() -> None:
        try:
            reporter.install()
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=install, name="a worker")
    thread.start()
    thread.join()
    assert len(errors) == 1
    assert "main thread only" in errors[0]
    assert "'a worker'" in errors[0]
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL


# On and off


def descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


@pytest.mark.parametrize("before", [signal.SIG_DFL, signal.SIG_IGN])
def test_nothing_stays_behind(before: Any, reporter: SignalReporter, place: Path) -> None:
    """The identical handler, as many descriptors and threads as before, no file."""
    original = signal.signal(signal.SIGUSR2, before)
    try:
        threads, open_before = threading.active_count(), descriptors()
        for _ in range(3):
            reporter.install()
            assert threading.active_count() == threads + 1
            assert [entry.name for entry in place.iterdir()] == [f"{os.getpid()}.json"]
            reporter.uninstall()
            assert signal.getsignal(signal.SIGUSR2) is before
            assert threading.active_count() == threads
            assert descriptors() == open_before
            assert not list(place.iterdir())
    finally:
        signal.signal(signal.SIGUSR2, original)


def test_a_handler_that_came_later_stays(reporter: SignalReporter) -> None:
    """It is not ours to take away."""

    def theirs(*_: object) -> None: ...

    reporter.install()
    signal.signal(signal.SIGUSR2, theirs)
    reporter.uninstall()
    assert signal.getsignal(signal.SIGUSR2) is theirs
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)


def test_off_in_another_thread_leaves_a_handler_that_does_nothing(
    reporter: SignalReporter, logged: list[str]
) -> None:
    """The default would kill the process; and the next install() finds the signal free."""
    reporter.install()
    thread = threading.Thread(target=reporter.uninstall)
    thread.start()
    thread.join()
    os.kill(os.getpid(), signal.SIGUSR2)
    assert not logged
    reporter.install()
    os.kill(os.getpid(), signal.SIGUSR2)
    wait_until(lambda: logged, "a report")
    reporter.uninstall()
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL


def test_the_report_goes_to_the_log(reporter: SignalReporter, logged: list[str]) -> None:
    """Whoever sends the signal, with kill or by the doctor."""
    reporter.install()
    os.kill(os.getpid(), signal.SIGUSR2)
    wait_until(lambda: logged, "a report")
    assert logged == ["Report on SIGUSR2:\nwhat was found"]


def test_failures_are_told_and_go_no_further(logged: list[str]) -> None:
    """A report that can't be made, and a log that can't be written; the thread goes on."""
    failures: list[str] = []
    working = threading.Event()

    def report() -> Any:
        if not working.is_set():
            raise RuntimeError("broken")
        return NoReport()

    def log(text: str) -> None:
        logged.append(text)
        raise OSError("full")

    reporter = SignalReporter("SIGUSR2", report, log, lambda what, _: failures.append(what))
    reporter.install()
    try:
        os.kill(os.getpid(), signal.SIGUSR2)
        wait_until(lambda: failures == ["report"], "the first failure")
        working.set()
        os.kill(os.getpid(), signal.SIGUSR2)
        wait_until(lambda: failures == ["report", "report.log"], "the second failure")
    finally:
        reporter.uninstall()


# Where the doctor finds it


def test_the_directory_is_private(reporter: SignalReporter, place: Path) -> None:
    """Nobody else may read what is in it, or put something there."""
    reporter.install()
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    for entry in place.iterdir():
        assert stat.S_IMODE(entry.stat().st_mode) == 0o600


@pytest.mark.parametrize("trap", ["open to others", "a link", "a file"])
def test_a_directory_of_others_is_not_used(
    trap: str, reporter: SignalReporter, logged: list[str], place: Path
) -> None:
    """One warning, and the log still has the reports."""
    if trap == "open to others":
        place.mkdir()
        place.chmod(0o770)
    elif trap == "a link":
        elsewhere = place.with_name("elsewhere")
        elsewhere.mkdir(mode=0o700)
        place.symlink_to(elsewhere)
    else:
        place.write_text("")
    with pytest.raises(UnusableDirectoryError):
        Directory.open()
    reporter.install()
    (warning,) = logged
    assert "Reports on SIGUSR2 go to the log only" in warning
    assert str(place) in warning
    os.kill(os.getpid(), signal.SIGUSR2)
    wait_until(lambda: len(logged) == 2, "a report")


def test_the_doctor_is_answered_in_another_thread(start: Any) -> None:
    """Also where the main thread hangs in a system call, and as often as it asks."""
    child = start("reporter.install(); print('ready', flush=True); sys.stdin.readline()")
    assert line_of(child) == "ready"
    for _ in range(3):
        assert ask(child.pid) == {"pid": child.pid, "thread": "gluellm-pool-report"}
        assert line_of(child) == f"Report on SIGUSR2: report of {child.pid}"


def test_a_busy_main_thread_is_no_obstacle(start: Any) -> None:
    """Python calls handlers between two instructions."""
    child = start("reporter.install(); print('ready', flush=True)\nwhile True: pass")
    assert line_of(child) == "ready"
    assert ask(child.pid)["pid"] == child.pid


def test_a_signal_within_a_lock_of_the_log_blocks_nothing(start: Any) -> None:
    """The doctor has its answer although the log can't be written now."""
    child = start(
        """
        lock = threading.Lock()
        def log(text):
            with lock:
                print("logged", flush=True)
        reporter = SignalReporter("SIGUSR2", Report, log)
        reporter.install()
        with lock:
            print("ready", flush=True)
            sys.stdin.readline()
        sys.stdin.readline()
        """
    )
    assert line_of(child) == "ready"
    assert ask(child.pid)["pid"] == child.pid
    child.stdin.write("\n")
    child.stdin.flush()
    assert line_of(child) == "logged"


def test_a_forked_child_answers_for_itself_and_the_parent_goes_on(start: Any) -> None:
    """A pipe, a thread and an entry each."""
    child = start(
        """
        reporter.install()
        os.register_at_fork(after_in_child=reporter.after_fork_in_child)
        forked = os.fork()
        if not forked:
            while True:
                signal.pause()
        print(forked, flush=True)
        os.waitpid(forked, 0)
        print("goes on", flush=True)
        sys.stdin.readline()
        """
    )
    forked = int(line_of(child))
    directory = Directory.open()
    try:
        wait_until(lambda: presence_of(directory, forked), "the child's entry")
        for pid in (forked, child.pid, forked):
            assert ask(pid)["pid"] == pid
            assert line_of(child) == f"Report on SIGUSR2: report of {pid}"
    finally:
        directory.close()
        os.kill(forked, signal.SIGKILL)
    assert line_of(child) == "goes on"
    assert ask(child.pid)["pid"] == child.pid


def test_what_a_killed_process_left_is_not_taken_for_alive_and_is_swept(
    start: Any, place: Path
) -> None:
    """Its lock went with it."""
    child = start("reporter.install(); print('ready', flush=True); sys.stdin.readline()")
    assert line_of(child) == "ready"
    child.kill()
    child.wait()
    assert (place / f"{child.pid}.json").exists()
    directory = Directory.open()
    assert presence_of(directory, child.pid) is None
    presence = Presence(signal.SIGUSR2)
    assert [entry.name for entry in place.iterdir()] == [f"{os.getpid()}.json"]
    presence.withdraw()
    directory.close()


def test_the_end_of_the_program_removes_its_entry(start: Any, place: Path) -> None:
    """Without uninstall()."""
    child = start("reporter.install()")
    assert child.wait(10) == 0
    assert not list(place.iterdir())

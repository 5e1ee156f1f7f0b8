"""Effects of a signal on child processes, and detection of dead processes."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.snapshots.on_signal import rendezvous
from opentelemetry.instrumentation.gluellm.snapshots.on_signal.rendezvous import (
    Directory,
    Presence,
    ReportRequest,
    presence_of,
)
from opentelemetry.instrumentation.gluellm.snapshots.on_signal.signals import status_of
from support.waiting import wait_until

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="no such signals here"),
    pytest.mark.usefixtures("place"),
]

PRELUDE = """
import os, signal, sys, threading, time
from opentelemetry.instrumentation.gluellm.snapshots.on_signal.reporter import SignalReporter

class Taken:
    def to_dict(self):
        return {"pid": os.getpid(), "thread": threading.current_thread().name}
    def __str__(self):
        return f"report of {os.getpid()}"

done = []

def log(text):
    # In one write: parent and child share the pipe. Under eventlet, others run during the write.
    os.write(1, (text.replace("\\n", " ") + "\\n").encode())
    done.append(text) if text.startswith("Report") else None

reporter = SignalReporter("SIGUSR2", Taken, str, log)
"""


@pytest.fixture
def start() -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start a child that runs some code; it is killed at the end."""
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
        child.wait()


def line_of(child: subprocess.Popen[str]) -> str:
    return child.stdout.readline().strip()


def interrupt(pid: int) -> None:
    """Send the signal to a process that sleeps.

    Python handles a signal that arrives just before a blocking system call only after that call.
    """
    wait_until(lambda: status_of(pid).get("State", "S").startswith("S"), "it sleeps")
    os.kill(pid, signal.SIGUSR2)


def ask(pid: int) -> dict[str, Any]:
    """Request a report from a process, as the doctor does."""
    directory = Directory.open()
    assert presence_of(directory, pid)
    request = ReportRequest(directory, pid)
    request.write()
    interrupt(pid)
    answer = wait_until(request.answer, "an answer")
    request.close()
    return answer


def test_the_doctor_is_answered_whatever_the_main_thread_does(start, place):
    """It hangs in a system call, or holds a lock of the log. Without a doctor, the log has it.

    The end of the program removes its entry, without uninstall().
    """
    child = start(
        """
        lock = threading.Lock()
        def log(text):
            with lock:
                os.write(1, (text.replace("\\n", " ") + "\\n").encode())
        reporter = SignalReporter("SIGUSR2", Taken, str, log)
        reporter.install()
        print("hangs", flush=True)
        sys.stdin.readline()
        with lock:
            print("locked", flush=True)
            sys.stdin.readline()
        sys.stdin.readline()
        """
    )
    answer = {"pid": child.pid, "thread": "gluellm-pool-report"}
    report = f"Report on SIGUSR2: report of {child.pid}"
    assert line_of(child) == "hangs"
    assert ask(child.pid) == answer
    interrupt(child.pid)
    assert line_of(child) == report
    assert ask(child.pid) == answer
    child.stdin.write("\n")
    child.stdin.flush()
    assert line_of(child) == "locked"
    assert ask(child.pid) == answer
    interrupt(child.pid)
    child.stdin.write("\n")
    child.stdin.flush()
    assert line_of(child) == report
    child.stdin.close()
    assert child.wait(60) == 0
    assert not list(place.iterdir())


def test_a_wait_that_would_block_the_program_is_refused(start):
    """gevent has replaced threads but not sleep. The signal keeps its handler."""
    pytest.importorskip("gevent")
    child = start("""
        from gevent import monkey
        monkey.patch_thread()
        try:
            reporter.install()
        except ValueError as error:
            log(str(error))
        log(str(signal.getsignal(signal.SIGUSR2)))
    """)
    refused, handler = child.stdout.read().splitlines()
    assert refused.startswith(
        "snapshot_signal='SIGUSR2': threads are patched but `time.sleep` is not"
    )
    assert handler == str(signal.SIG_DFL)


EACH_GREENLET_LIBRARY = pytest.mark.parametrize(
    "replace",
    [
        "from gevent.monkey import patch_all as patch",
        "import eventlet.hubs; from eventlet import monkey_patch as patch",
    ],
)


@EACH_GREENLET_LIBRARY
def test_a_forked_child_answers_in_a_greenlet(start, replace, monkeypatch):
    """The child has its own greenlet; the parent's is dropped."""
    pytest.importorskip(replace.split()[1].partition(".")[0])
    monkeypatch.setenv("EVENTLET_NO_GREENDNS", "yes")
    # gevent gives a child a hub of its own. With eventlet the child shares the parent's epoll until
    # the program does that, and each can take the other's events.
    renew = "eventlet.hubs.use_hub()" if "eventlet" in replace else "pass"
    child = start(f"""
        {replace}
        patch()
        reporter.install()
        child = os.fork()
        if not child:
            {renew}
            reporter.after_fork_in_child()
        os.kill(os.getpid(), signal.SIGUSR2)
        while not done:
            time.sleep(0.02)
        if child:
            os.waitpid(child, 0)
            log(f"parent {{os.getpid()}} child {{child}}")
        os._exit(0)
    """)
    *reports, pids = child.stdout.read().splitlines()
    _, parent, _, forked = pids.split()
    assert sorted(reports) == sorted(
        f"Report on SIGUSR2: report of {pid}" for pid in (parent, forked)
    )


@EACH_GREENLET_LIBRARY
def test_a_signal_does_not_interrupt_a_hub_that_waits(start, replace, monkeypatch):
    """The program sleeps in a greenlet, and the signal comes from another process."""
    pytest.importorskip(replace.split()[1].partition(".")[0])
    monkeypatch.setenv("EVENTLET_NO_GREENDNS", "yes")
    child = start(f"""
        {replace}
        patch()
        reporter.install()
        log("ready")
        while not done:
            time.sleep(0.02)
        log("goes on")
    """)
    assert line_of(child) == "ready"
    child.send_signal(signal.SIGUSR2)
    assert child.stdout.read().splitlines() == [
        f"Report on SIGUSR2: report of {child.pid}",
        "goes on",
    ]


def test_forked_child_and_parent_answer_separately(start, place):
    """Each has a queue, a thread and an entry. The entry of a killed process is ignored."""
    child = start(
        """
        reporter.install()
        os.register_at_fork(after_in_child=reporter.after_fork_in_child)
        forked = os.fork()
        if forked:
            print(forked, flush=True)
        # In short steps, since waitpid() and pause() miss a signal that arrives just before them.
        while not forked or os.waitpid(forked, os.WNOHANG) == (0, 0):
            time.sleep(0.02)
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
            interrupt(pid)
            assert line_of(child) == f"Report on SIGUSR2: report of {pid}"
    finally:
        os.kill(forked, signal.SIGKILL)
    assert line_of(child) == "goes on"
    assert ask(child.pid)["pid"] == child.pid
    assert (place / f"{forked}.json").exists()
    assert presence_of(directory, forked) is None
    # It is also ignored if another process has the same PID.
    (place / f"{os.getpid()}.json").write_text((place / f"{forked}.json").read_text())
    assert presence_of(directory, os.getpid()) is None
    presence = Presence(signal.SIGUSR2)
    assert presence_of(directory, os.getpid())
    presence.withdraw()
    assert presence_of(directory, os.getpid()) is None


@pytest.mark.skipif(not Path("/bin/ps").exists(), reason="no ps here")
def test_start_of_a_process_is_known_without_proc(monkeypatch):
    """As on macOS: it is constant, differs between processes, and is None for a dead one."""
    monkeypatch.setattr(rendezvous, "_PROC", Path("/nowhere"))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        alive = rendezvous.start_of(child.pid)
        assert alive is not None
        assert rendezvous.start_of(child.pid) == alive
        assert rendezvous.start_of(1) != alive
    assert rendezvous.start_of(child.pid) is None

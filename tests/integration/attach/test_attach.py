"""``doctor --attach`` on real processes that were not prepared."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gluellm_pools.arguments import CommandError
from gluellm_pools.attach import command, stacks, target
from gluellm_pools.main import main
from support.http1 import HTTP1Server
from support.script import Reply
from support.waiting import wait_until

SCRIPT = Path(__file__).parent / "scripts" / "hanging.py"
DOCTOR = [sys.executable, "-m", "gluellm_pools.main", "doctor"]

needs_3_14 = pytest.mark.skipif(
    sys.version_info < (3, 14) or sys.platform != "linux",
    reason="needs Linux and Python 3.14 or newer: make test PYTHON=python3.14",
)
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@pytest.fixture
def start(server: HTTP1Server, begin) -> Callable[..., subprocess.Popen[str]]:
    """Start the script, and return its process once its requests have begun."""
    url = server.reply("/silent", Reply(head_after=server.gate()))
    return lambda how, python=sys.executable: begin(python, SCRIPT, how, url)


def attach(pid: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DOCTOR, "--attach", str(pid), *arguments], capture_output=True, text=True, timeout=60
    )


def options(pid: int) -> argparse.Namespace:
    return argparse.Namespace(attach=pid, yes=False, period=None, save=None, json=False)


@needs_3_14
@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("httpx", "task"),
        ("httpx2 on uvloop", "task"),
        ("httpx in threads", "thread"),
        ("aiohttp", "task"),
        ("urllib3", "thread"),
    ],
)
def test_requests_are_listed_with_their_line(how, kind, start, monkeypatch):
    """Half of them wait for a connection and half for the answer, where Python can tell that."""
    process = start(how)
    cut = sys.version_info < (3, 15) and kind == "thread"
    head = stacks.SOCKET if cut and how == "urllib3" else stacks.HEAD
    states = {stacks.CONNECTION, head}
    wait_until(lambda: {wait.state for wait in stacks.look(process.pid).values()} == states)
    done = attach(process.pid, "--json")
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    found = {one["what"]: (one["kind"], one["count"]) for one in report["waits"]}
    assert found == {stacks.CONNECTION: (kind, 2), head: (kind, 2)}
    where = [one["where"] for one in report["waits"] if one["where"] or not cut]
    assert all(one.startswith(f"{SCRIPT}:") and one.endswith("call") for one in where)
    assert process.poll() is None


@needs_3_14
@pytest.mark.parametrize(
    ("how", "status", "line"),
    [
        ("semaphore", 0, f"4 tasks wait for {stacks.OWN} at {SCRIPT}:"),
        ("blocked", 1, f"{stacks.LOOP} at {SCRIPT}:"),
        ("future", 0, f"  1 thread waits for {stacks.ANOTHER} at {SCRIPT}:"),
        ("lock", 0, f"  2 threads wait for {stacks.OWN} at {SCRIPT}:"),
        ("idle", 0, "no wait that can be read, and no blocked loop"),
    ],
)
def test_waits_outside_pools_are_listed(how, status, line, start):
    """A blocked loop is a problem; an own lock may be one, but no idle thread of a library."""
    done = attach(start(how).pid)
    listed = [one for one in done.stdout.splitlines() if one.startswith("  ")]
    assert [line in one for one in listed] == [True], done.stdout + done.stderr
    assert done.returncode == status
    assert "Not known from outside" in done.stdout


@needs_3_14
def test_a_process_without_asyncio_can_be_read():
    """Its threads are read, and it has no tasks."""
    code = "import sys; print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        done = attach(process.pid)
        process.kill()
    assert (done.returncode, done.stderr) == (0, "")


@only_linux
def test_processes_that_cannot_be_read_are_refused(start, monkeypatch):
    """One line with the reason and what to do, and status 2."""
    process = start("idle")
    monkeypatch.setattr(target, "python_of", lambda pid: (3, 13))
    with pytest.raises(CommandError, match=rf"runs Python 3.13.*py-spy dump --pid {process.pid}"):
        target.check(process.pid)
    monkeypatch.setattr(target, "python_of", lambda pid: (3, 99))
    with pytest.raises(CommandError, match=r"use the gluellm-pools of a Python 3.99"):
        target.check(process.pid)
    monkeypatch.setattr(target, "python_of", lambda pid: None)
    with pytest.raises(CommandError, match="runs no Python that is known"):
        target.check(process.pid)
    with pytest.raises(CommandError, match="this command itself"):
        target.check(os.getpid())
    process.kill()
    process.wait()
    for pid, error in ((process.pid, "there is no process"), (2**30, "there is no process")):
        done = attach(pid)
        assert (done.returncode, error in done.stderr) == (2, True)
        assert len(done.stderr.splitlines()) == 1


@only_linux
def test_a_missing_right_names_the_setting_that_gives_it(start, monkeypatch):
    """Another user, ptrace_scope and a container without SYS_PTRACE have different remedies."""
    pid = start("idle").pid

    def refuse(pid):
        raise PermissionError

    monkeypatch.setattr(stacks, "look", refuse)
    monkeypatch.setattr(target, "check", lambda pid: None)
    with pytest.raises(CommandError, match="--cap-add SYS_PTRACE"):
        command.attach(options(pid))
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(CommandError, match=r"belongs to the user .* or as root"):
        command.attach(options(pid))


def test_what_cannot_be_read_while_the_process_runs_is_read_again(monkeypatch):
    """The process gets time in between. A missing right is not tried again."""
    pauses = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    failures = [RuntimeError("chain"), UnicodeDecodeError("utf-8", b"", 0, 1, ""), OSError(14, "")]

    def read(pid):
        if failures:
            raise failures.pop(0)
        return {}

    monkeypatch.setattr(stacks, "_look", read)
    assert (stacks.look_here(1), len(pauses)) == ({}, 3)
    failures += [PermissionError(), OSError()]
    with pytest.raises(PermissionError):
        stacks.look_here(1)


def test_a_crash_of_what_reads_the_stacks_does_not_end_the_command(monkeypatch):
    """CPython 3.14.8 crashes now and then, so a child process reads, and another one after it."""
    monkeypatch.setattr(stacks, "_TRIES", 2)
    monkeypatch.setattr(stacks, "__name__", "os; os.kill(os.getpid(), 11)  #")
    with pytest.raises(RuntimeError, match="can't be read by this Python"):
        stacks.look(1)


def test_a_thread_that_has_gone_on_is_no_wait():
    """One that waits as before gets the state and the line that its whole stack shows."""
    whole = [
        stacks.Frame("/usr/lib/python3.14/socket.py", 7, "read"),
        stacks.Frame("/app.py", 3, "ask"),
    ]
    waits = {
        (False, n, f"{whole[0].file} read"): stacks.Wait(False, stacks.HEAD, "") for n in (1, 2, 3)
    }
    found = stacks.with_whole_stacks(waits, {1: whole, 2: whole[1:]}, 1)
    where = {number: wait.where for (_, number, _), wait in found.items()}
    assert where == {1: "/app.py:3 in ask", 3: ""}


@needs_3_14
def test_a_process_that_ends_meanwhile_is_reported(start, monkeypatch):
    """The message does not blame rights or versions."""
    process = start("idle")

    def end(pid):
        process.kill()
        process.wait()
        raise RuntimeError("no such mapping")

    monkeypatch.setattr(stacks, "look", end)
    with pytest.raises(CommandError, match=f"process {process.pid} has just ended"):
        command.attach(options(process.pid))


@only_linux
def test_an_unprepared_process_is_told_what_works_now(start):
    """``doctor --pid`` names the command for its Python version."""
    process = start("idle")
    done = subprocess.run(
        [*DOCTOR, "--pid", str(process.pid)], capture_output=True, text=True, timeout=60
    )
    works = "doctor --attach" if sys.version_info >= (3, 14) else "py-spy dump --pid"
    assert f"{works} {process.pid}" in done.stderr
    assert done.returncode == 2


@only_linux
def test_without_a_prepared_process_the_others_are_named(start, monkeypatch, capsys, tmp_path):
    """Each with what works for its Python version."""
    pid = start("idle").pid
    assert pid in target.own_processes()
    monkeypatch.setattr(target, "own_processes", lambda: [pid] * 7)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert main(["doctor"]) == 2
    errors = capsys.readouterr().err
    assert errors.count(f"\nProcess {pid}: {target.what_can_be_done(pid)}") == 5
    assert errors.endswith("not listed: 2\n")


def test_other_arguments_are_refused():
    """Those of ``--pid`` have no meaning here."""
    done = attach(1, "--timeout", "5")
    assert (done.returncode, "goes with --yes, --for" in done.stderr) == (2, True)
    done = subprocess.run([*DOCTOR, "--yes"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, "--yes needs --attach" in done.stderr) == (2, True)

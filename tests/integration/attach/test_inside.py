"""``doctor --attach --yes`` and ``--for``: what runs in a process, and that it does no harm."""

import contextlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gluellm_pools.attach import stacks
from gluellm_pools.attach.sending import NotRunError, Program
from support.http1 import HTTP1Server
from support.script import Reply
from support.waiting import wait_until

SCRIPTS = Path(__file__).parent / "scripts"
ATTACH = [sys.executable, "-m", "gluellm_pools.main", "doctor", "--attach"]
pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 14) or sys.platform != "linux",
    reason="needs Linux and Python 3.14 or newer: make test PYTHON=python3.14",
)

only_x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="writes its registers")


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the files that stay after a program was not run."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


@pytest.fixture
def start(server: HTTP1Server, begin):
    """Start a script, and return its process once its requests have begun."""
    silent = server.reply("/silent", Reply(head_after=server.gate()))
    unread = server.reply("/unread", Reply(chunks=((0.0, b"a"), (server.gate(), b"b"))))

    def run(script: str, *words: str, options: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        streams = any(word in ("unread", "audit hook", "without wrapt") for word in words)
        url = unread if streams else silent
        return begin(sys.executable, *options, SCRIPTS / script, *words, url)

    return run


@pytest.fixture
def loaded(server: HTTP1Server, start):
    """Return a process under load, and a function that asks it for its counts."""
    process = subprocess.Popen(
        [sys.executable, str(SCRIPTS / "loaded.py"), server.reply("/ok", Reply())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"

    def ask() -> dict:
        process.stdin.write("\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield process, ask
    process.kill()
    process.communicate()


def attach(pid: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ATTACH, str(pid), *arguments], capture_output=True, text=True, timeout=120
    )


def pools_of(pid: int, *arguments: str) -> list[dict]:
    """Return the pools in the snapshot of a process; none if it was too slow."""
    done = attach(pid, "--yes", "--json", *arguments)
    assert done.stdout, done.stderr
    return json.loads(done.stdout).get("snapshot", {"pools": []})["pools"]


@pytest.mark.parametrize(
    ("how", "phase", "arguments"),
    [
        ("httpx", "awaiting_response", ()),
        ("unread", "reading", ()),
        ("aiohttp", "awaiting_response", ()),
        ("unread", "reading", ("--for", "1")),
        ("aiohttp", "awaiting_response", ("--for", "1")),
    ],
)
def test_holders_and_queue_of_a_pool_are_listed(how, phase, arguments, start):
    """Two requests hold the two connections, and two queue, whose ages are unknown."""
    process = start("hanging.py", how)
    found = []

    def waits() -> bool:
        found[:] = pools_of(process.pid, *arguments)
        held = [one["held_before"] for pool in found for one in pool["connections"]]
        # After some seconds without a byte, it is certain that nothing reads them.
        return [one.replace("unread", "reading") for one in held] == [phase, phase]

    wait_until(waits, timeout=60)
    pool = found[0]
    assert pool["max_connections"] == 2
    assert pool["pool_timeout"] == (600 if how == "unread" else None) or how == "aiohttp"
    assert pool["queued_before"] == 2 or (how == "aiohttp" and arguments)
    assert pool["requests"] == []
    assert pool["connections"][0]["silence"] is not None
    assert process.poll() is None


def test_a_blocked_loop_precedes_what_it_causes(start):
    """Its requests look like those of a slow provider."""
    done = attach(start("hanging.py", "blocked").pid, "--yes")
    assert done.returncode == 1
    assert done.stdout.startswith(f"What follows can be the result of this:\n  {stacks.LOOP} at ")


@only_x86_64
@pytest.mark.parametrize("arguments", [(), ("--for", "1")])
def test_threads_have_their_line_also_if_c_code_calls_the_library(arguments, start):
    """Also at the end of an observation in which nothing began."""
    process = start("hanging.py", "httpx in threads")

    def known() -> bool:
        report = json.loads(attach(process.pid, "--yes", "--json", *arguments).stdout)
        lines = [str(one["where"]).rpartition(" ")[2] for one in report["waits"]]
        quiet = not arguments or "No request began meanwhile." in report["notes"]
        return quiet and lines == ["call", "call"]

    wait_until(known, timeout=60)


def test_suspended_functions_that_hold_answers_are_found(start):
    """Functions that read one or wait for a connection are none of them."""
    process = start("hanging.py", "unread")

    def held() -> bool:
        with contextlib.suppress(NotRunError), Program(process.pid, 0.0) as program:
            lines = program.look()["suspended"]
            return [one.rpartition(" ")[2] for one in lines] == ["with_unread_streams"]
        return False

    wait_until(held, timeout=60)


@only_x86_64
def test_a_script_that_hangs_in_a_read_is_looked_into(server, begin):
    """The call that was interrupted for it goes on, and ends as it would have."""
    gate = server.gate()
    url = server.reply("/late", Reply(head_after=gate))
    process = begin(sys.executable, SCRIPTS / "hanging.py", "httpx in the main thread", url)
    looks = []

    def five() -> bool:
        looks.extend(filter(None, [pools_of(process.pid)]))
        return len(looks) == 5

    wait_until(five, timeout=60)
    assert [one["held_before"] for one in looks[-1][0]["connections"]] == ["awaiting_response"]
    gate.open()
    assert process.communicate(timeout=60) == ("ok\n", None)
    assert process.returncode == 0


@only_x86_64
@pytest.mark.skipif(sys.version_info >= (3, 15), reason="the fields of 3.14 are known")
@pytest.mark.parametrize("how", ["httpx in threads", "urllib3"])
def test_a_thread_that_reads_runs_the_program_while_the_main_thread_waits(
    how, server, begin, tmp_path
):
    """The main thread runs nothing later, when the file with the program is gone."""
    url = server.reply("/silent", Reply(head_after=server.gate()))
    errors = tmp_path / "errors"
    words = sys.executable, SCRIPTS / "hanging.py", how, url
    process = begin("sh", "-c", 'exec "$@" 2> "$0"', errors, *words)
    wait_until(lambda: pools_of(process.pid), timeout=60)
    process.stdin.close()
    assert (process.wait(60), errors.read_text()) == (0, "")


def test_a_report_names_the_holders_and_its_snapshot_can_be_judged_later(start, tmp_path):
    """The exit status is 1, and the file gives the same finding."""
    process = start("hanging.py", "unread")
    kept = tmp_path / "kept.json.gz"
    done = attach(process.pid, "--yes", "--save", str(kept))
    what = "2 of 2 connections are held by requests that began before the observation"
    assert (done.returncode, what in done.stdout) == (1, True), done.stdout + done.stderr
    assert "4 tasks wait for" not in done.stdout
    assert "these answered" not in done.stdout
    assert f"wrote {kept}" in done.stderr
    again = subprocess.run([*ATTACH[:-1], str(kept)], capture_output=True, text=True, timeout=60)
    assert (again.returncode, what in again.stdout) == (1, True), again.stdout + again.stderr


def test_nothing_runs_in_the_process_without_consent(start):
    """The report is that of the stacks, and it names the option."""
    process = start("hanging.py", "unread")
    done = attach(process.pid)
    assert "Not known from outside" in done.stdout
    assert f"--attach {process.pid} --yes" in done.stdout
    done = attach(process.pid, "--for", "1")
    assert (done.returncode, "give --yes" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("how", "options", "arguments", "status", "message"),
    [
        ("unread", ("-X", "disable-remote-debug"), (), 2, "PYTHON_DISABLE_REMOTE_DEBUG"),
        ("audit hook", (), (), 1, "or an audit hook refused the program"),
        ("idle", (), (), 0, r"in C code \(lock, idle uvloop\), called at .*hanging.py:\d+"),
        ("without wrapt", (), ("--for", "1"), 1, "wrapt can't be imported there"),
    ],
)
def test_it_is_refused_with_the_reason(how, options, arguments, status, message, start):
    """What can't be done is named, and what can be known all the same is reported."""
    process = start("hanging.py", how, options=options)
    done = attach(process.pid, "--yes", *arguments)
    text = " ".join((done.stdout + done.stderr).split())
    assert re.search(message, text), text
    assert done.returncode == status
    assert process.poll() is None
    for script in re.findall(r"(/\S+/program.py) stays", text):
        assert "does nothing after its deadline" in Path(script).read_text()


def test_a_program_that_comes_late_does_nothing(start):
    """A main thread that returns from C code a minute later runs it then."""
    process = start("hanging.py", "idle")
    done = attach(process.pid, "--yes")
    script = Path(re.search(r"(/\S+/program.py) stays", " ".join(done.stdout.split()))[1])
    process.stdin.write("\n")
    process.stdin.close()
    assert process.wait(10) == 0
    assert [one.name for one in script.parent.iterdir()] == ["program.py"]


def test_a_stopped_process_is_refused(start):
    """It could run nothing, and must not be continued."""
    process = start("hanging.py", "unread")
    process.send_signal(signal.SIGSTOP)
    done = attach(process.pid, "--yes")
    process.send_signal(signal.SIGCONT)
    assert (done.returncode, f"kill -CONT {process.pid}" in done.stderr) == (2, True), done.stderr


def test_a_parent_does_not_notice_that_an_idle_loop_is_interrupted(start):
    """No signal stops it. Process 1 of a container would ignore that."""
    process = start("hanging.py", "aiohttp")
    wait_until(lambda: pools_of(process.pid), timeout=60)
    events = os.WUNTRACED | os.WCONTINUED | os.WNOHANG
    assert os.waitpid(process.pid, events) == (0, 0)


def test_a_second_command_is_refused(start):
    """One program at a time is in a process."""
    process = start("hanging.py", "unread")
    with Program(process.pid, 0.0):
        done = attach(process.pid, "--yes")
    assert (done.returncode, "another command looks into" in done.stderr) == (2, True)


def test_an_instrumented_process_is_left_alone(loaded, tmp_path):
    """An observation that has begun is not replaced by another one."""
    process, ask = loaded
    with Program(process.pid, 30.0) as first:
        assert not first.look()["instrumented"]
        wait_until(lambda: not ask()["same"], timeout=60)
        # As after an end of that command by SIGKILL: nothing holds the process any more.
        held, first._kept = first._kept, type(first._kept)()
        held.pop_all()
        done = attach(process.pid, "--yes", "--for", "1")
        assert "it is instrumented already" in done.stdout, done.stdout + done.stderr
        first._script.unlink()
    wait_until(lambda: ask()["same"], timeout=60)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_observation_restores_everything(by, loaded):
    """The command ends once the process is as before."""
    process, ask = loaded
    command = subprocess.Popen(
        [*ATTACH, str(process.pid), "--yes", "--for", "60"], stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: not ask()["same"], timeout=60)
    command.send_signal(by)
    _, errors = command.communicate(timeout=60)
    assert "everything is restored" in errors
    assert command.returncode == 128 + by
    assert ask()["same"]


def test_a_process_that_ends_meanwhile_is_reported(loaded):
    """The command reports what it has found, and does not wait for the rest of the period."""
    process, ask = loaded
    command = subprocess.Popen(
        [*ATTACH, str(process.pid), "--yes", "--for", "60"], stdout=subprocess.PIPE, text=True
    )
    wait_until(lambda: not ask()["same"], timeout=60)
    process.kill()
    report, _ = command.communicate(timeout=60)
    assert f"connection pools of process {process.pid}" in report
    assert re.search(rf"Process {process.pid} ended after .* of 60 s", report)
    assert command.returncode < 2


def test_attaches_under_load_change_no_result(loaded):
    """No request fails, all attributes are restored, and no thread of ours is left."""
    process, ask = loaded
    for number in range(int(os.environ.get("ATTACHES", "3"))):
        arguments = ("--for", "1") if number % 4 == 2 else ()
        done = attach(process.pid, "--yes", "--json", *arguments)
        found = json.loads(done.stdout)["snapshot"]
        pools = {pool["library"]: pool for pool in found["pools"]}
        assert pools.keys() == {"httpx2", "aiohttp"}, done.stderr
        if arguments:
            assert all(pool["requests_entered"] for pool in pools.values())
    wait_until(lambda: not ask()["threads"], timeout=60)
    counts = ask()
    assert (counts["failed"], counts["wrong"], counts["same"]) == (0, 0, True)
    assert counts["ok"] > 50

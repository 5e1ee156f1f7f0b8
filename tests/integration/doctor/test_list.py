"""`doctor` alone: the processes that can be inspected."""

import json
import os
import signal

from support.waiting import wait_until

from .answering import FROM_HERE, PRELUDE, USUAL, files_in, finish, next_line
from .conftest import has_signals

pytestmark = has_signals
OF_SERVICE = """
reporter = SignalReporter("SIGUSR2", take, text_of, log, about=lambda: {"service": "check\\x1bout"})
"""


def test_processes_are_listed_with_service_parent_and_age(doctor, begin, private):
    child = f"{FROM_HERE}{PRELUDE}{OF_SERVICE}{USUAL}"
    process = begin(
        f"{OF_SERVICE}{USUAL.removesuffix('; wait()')}\n"
        f"import subprocess\nsubprocess.Popen([sys.executable, '-c', {child!r}])\nwait()"
    )
    assert next_line(process) == "ready"
    other = begin("reporter.install(); signal.signal(signal.SIGUSR2, print); ready(); wait()")
    entry = private / f"{other.pid}.json"
    wait_until(lambda: json.loads(entry.read_text())["handler_replaced_by"])
    done = doctor()
    assert done.returncode == 0, done.stderr
    head, *rows, empty, advice = done.stdout.splitlines()
    assert head.split() == ["service", "PID", "parent", "age"]
    (worker,) = {int(file.stem) for file in private.glob("*.json")} - {process.pid, other.pid}
    listed = {int(row.split()[1]): row for row in rows}
    assert listed.keys() == {process.pid, worker, other.pid}
    for pid, parent in ((process.pid, os.getpid()), (worker, process.pid)):
        assert listed[pid].split()[:3] == ["check?out", str(pid), str(parent)]
        assert listed[pid].endswith(" s")
    assert listed[other.pid].startswith("(")
    assert listed[other.pid].endswith("gives no report: its handler is now builtins.print")
    assert (empty, advice.rpartition(" ")[0]) == (
        "",
        "To inspect one and its child processes: gluellm-pools doctor --pid",
    )
    as_json = json.loads(doctor("--json").stdout)["processes"]
    assert {one["pid"]: one["service"] for one in as_json} == {
        process.pid: "check\x1bout",
        worker: "check\x1bout",
        other.pid: None,
    }
    finish(process)
    finish(other)


def test_files_of_dead_processes_are_removed(doctor, begin, private):
    """Those of another container that shares the directory stay, and so does a foreign file."""
    process = begin(USUAL)
    entry = private / f"{process.pid}.json"
    process.send_signal(signal.SIGKILL)
    process.wait()
    (private / f"{process.pid}-token.request").write_text("{}")
    elsewhere = json.dumps({**json.loads(entry.read_text()), "namespace": "pid:[1]"})
    (private / "7.json").write_text(elsewhere)
    for number, content in ((8, "["), (9, "[]"), (10, "[" * 100_000)):
        (private / f"{number}.json").write_text(content)
    (private / "notes.json").write_text("{}")
    done = doctor()
    assert done.returncode == 2
    assert "no process of this user is prepared: start it with OTEL_PYTHON" in done.stderr
    assert files_in(private) == ["10.json", "7.json", "8.json", "9.json", "notes.json"]


def test_without_the_directory_the_message_says_how_to_start_a_process(doctor, private):
    done = doctor()
    assert (done.returncode, done.stdout) == (2, "")
    assert "no process of this user is prepared" in done.stderr
    private.symlink_to("elsewhere")
    done = doctor()
    assert done.returncode == 2
    assert "belongs to, or is open to, another user" in done.stderr

"""`doctor` alone: the processes that can be inspected."""

import json
import os
import signal
import socket

from support.waiting import wait_until

from .answering import FROM_HERE, PRELUDE, USUAL, files_in, finish, next_line
from .conftest import PYTHON, SCRIPTS, has_signals, line_number, needs_any_llm

pytestmark = has_signals
OF_SERVICE = """
found = ["error: leak in openai/httpx2", "warning: retries"]
about = {"service": "check\\x1bout", "instance": "pod-1", "findings": found}
reporter = SignalReporter("SIGUSR2", take, text_of, log, about=lambda: about)
"""


def test_processes_are_listed_with_instance_parent_age_and_findings(doctor, begin, private):
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
    assert head.split() == ["service", "instance", "PID", "parent", "age", "found"]
    (worker,) = {int(file.stem) for file in private.glob("*.json")} - {process.pid, other.pid}
    listed = {int(row.split()[2]): row for row in rows if not row.startswith("(")}
    listed[other.pid] = next(row for row in rows if row.startswith("("))
    assert listed.keys() == {process.pid, worker, other.pid}
    for pid, parent in ((process.pid, os.getpid()), (worker, process.pid)):
        assert listed[pid].split()[:4] == ["check?out", "pod-1", str(pid), str(parent)]
        assert listed[pid].endswith("  error: leak in openai/httpx2; warning: retries")
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
    assert [one["findings"] for one in as_json if one["pid"] == worker] == [
        ["error: leak in openai/httpx2", "warning: retries"]
    ]
    # A forked child has its parent's id, and both are inspected.
    done = doctor("--instance", "pod-1")
    assert done.stdout.startswith(f"process {process.pid}:\n"), done.stderr
    assert f"process {worker}:\n" in done.stdout
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


ON = {
    "OTEL_SERVICE_NAME": "checkout",
    "OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=pod-1",
    "OTEL_PYTHON_GLUELLM_SNAPSHOT_SIGNAL": "SIGUSR2",
    "OTEL_PYTHON_GLUELLM_FINDINGS_INTERVAL": "1",
    "OTEL_PYTHON_GLUELLM_LEAK_THRESHOLD": "2",
}


@needs_any_llm
def test_instance_of_an_alert_leads_to_the_line_of_a_real_process(doctor, begin, provider):
    """The list has what the process found, and its report has the line."""
    script = SCRIPTS / "hanging.py"
    process = begin(PYTHON, script, provider.openai_url, until="leaked", **ON)
    (row,) = wait_until(
        lambda: [line for line in doctor().stdout.splitlines() if "leak in httpx" in line]
    )
    assert row.split()[:3] == ["checkout", "pod-1", str(process.pid)]
    assert row.endswith("error: leak in httpx/httpx")
    done = doctor("--instance", "pod-1")
    assert done.returncode == 1
    place = f"{script}:{line_number(script, 'stream=True')} in abandon"
    assert place in " ".join(done.stdout.split())


def test_unknown_instance_is_one_line_that_names_this_host(doctor, begin):
    process = begin(USUAL)
    for known in (True, False):
        done = doctor("--instance", "pod\x1b2")
        assert (done.returncode, done.stdout) == (2, "")
        assert f"no process of this user on {socket.gethostname()} can be" in done.stderr
        assert "'pod?2'" in done.stderr
        assert done.stderr.count("\n") == 1
        if known:
            finish(process)


def test_instance_that_unrelated_processes_share_needs_a_pid(doctor, begin):
    """Containers started with one environment variable can share it."""
    code = f"{OF_SERVICE}{USUAL}"
    pids = sorted(begin(code).pid for _ in range(2))
    done = doctor("--instance", "pod-1")
    assert done.returncode == 2
    assert f"processes {pids[0]}, {pids[1]} share the service.instance.id: use" in done.stderr


def test_beginning_of_an_instance_is_enough_unless_several_begin_so(doctor, begin):
    """And a process without a judgement so far is not one that has found nothing."""
    code = f"{OF_SERVICE}{USUAL}"
    begin(code)
    process = begin(code.replace("pod-1", "pod-22").replace(": found}", ": None}"))
    done = doctor("--instance", "pod-")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("2 of the service.instance.ids here begin so: pod-1, pod-22\n")
    assert f"pools of process {process.pid}" in doctor("--instance", "pod-2").stdout
    assert [line for line in doctor().stdout.splitlines() if line.endswith("  not judged yet")]

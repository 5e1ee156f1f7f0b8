"""`doctor --pid` of a parent, such as that of a server's workers, whose children make the calls."""

import json
import os
import re
from pathlib import Path

import pytest

from support.waiting import PATIENCE, wait_until

from .answering import FROM_HERE, PRELUDE, TIMEOUT, USUAL, finish, next_line
from .conftest import LAUNCHER, SCRIPTS, has_signals, needs_launcher

pytestmark = has_signals
REPLACE = """
def theirs(*_):
    os.write(1, b"signal\\n")
reporter.install()
signal.signal(signal.SIGUSR2, theirs)
"""
CHILD = f"{FROM_HERE}{PRELUDE}{USUAL}"


def replaced(private: Path, pid: int) -> bool:
    """Return whether the process has noticed that its handler was replaced."""
    entry = json.loads((private / f"{pid}.json").read_text())
    return entry["handler_replaced_by"] is not None


def test_process_whose_handler_was_replaced_gets_no_signal(doctor, begin, private):
    """For gunicorn, SIGUSR2 means to start a second gunicorn."""
    process = begin(f"{REPLACE}\nready()\nwait()")
    wait_until(lambda: replaced(private, process.pid))
    done = doctor("--pid", process.pid)
    assert done.returncode == 2
    assert "since __main__.theirs has replaced its handler of SIGUSR2" in done.stderr
    assert "another signal, as in OTEL_PYTHON_GLUELLM_SNAPSHOT_SIGNAL=SIGRTMIN" in done.stderr
    assert finish(process) == []


def test_child_processes_are_inspected_and_the_worst_comes_first(doctor, begin, private):
    """Grandchildren as well. A parent without its handler gets no signal."""
    bad = CHILD.replace(
        "PROCESS = {}", "PROCESS = {'open_descriptors': 64, 'descriptor_limit': 64}"
    )
    shell = f"{REPLACE}\nimport subprocess\nfor code in {CHILD!r}, {bad!r}:\n"
    shell += "    subprocess.Popen(['sh', '-c', '\"$@\"; :', 'sh', sys.executable, '-c', code])\n"
    process = begin(f"{shell}\nwait()")
    assert next_line(process) == "ready"
    wait_until(lambda: replaced(private, process.pid))
    done = doctor("--pid", process.pid)
    assert done.returncode == 1
    reason, worst, *_ = done.stdout.split("\n\n")
    assert reason.startswith(f"process {process.pid} (python")
    assert "theirs has replaced its handler" in reason
    children = {int(file.stem) for file in private.glob("*.json")} - {process.pid}
    assert {*map(int, re.findall(r"pools of process (\d+)", done.stdout))} == children
    assert "\nWARNING: descriptors near limit" in worst
    answer = json.loads(doctor("--pid", process.pid, "--json").stdout)
    found = [[one["kind"] for one in each.get("findings", ())] for each in answer["processes"]]
    assert found == [[], ["descriptors_near_limit"], []]
    assert answer["processes"][0]["pid"] == process.pid
    assert "theirs" in answer["processes"][0]["error"]
    # A process that the doctor can't ask, like the first one of a container.
    done = doctor("--pid", os.getpid(), "--for", "0.1")
    assert done.returncode == 1
    assert done.stdout.startswith(f"process {os.getpid()} (")
    assert "handles no signal for reports" in done.stdout
    assert done.stdout.count("in these 0.10 s: 0 requests began") == len(children) == 2
    assert "signal" not in finish(process)


@needs_launcher
@pytest.mark.parametrize(
    ("signal_name", "command", "answers"),
    [
        ("SIGUSR2", "uvicorn serving:asgi --workers 2 --port 0", False),
        ("SIGRTMIN", "gunicorn serving:wsgi --workers 2 --bind 127.0.0.1:0", True),
        ("SIGRTMIN", "celery --app serving:tasks worker --concurrency 2", True),
    ],
)
def test_workers_of_servers_are_inspected(doctor, begin, private, signal_name, command, answers):
    """uvicorn's parent replaces the handler of SIGUSR2."""
    name, *arguments = command.split()
    pytest.importorskip(name)
    exporters = {f"OTEL_{kind}_EXPORTER": "none" for kind in ("TRACES", "METRICS", "LOGS")}
    process = begin(
        *(LAUNCHER, LAUNCHER.with_name(name), *arguments),
        until="",
        PYTHONPATH=str(SCRIPTS),
        OTEL_PYTHON_GLUELLM_SNAPSHOT_SIGNAL=signal_name,
        **exporters,
    )
    try:
        wait_until(lambda: len(list(private.glob("*.json"))) == 3, timeout=PATIENCE)
        wait_until(lambda: answers or replaced(private, process.pid), timeout=PATIENCE)
        done = doctor("--pid", process.pid)
    finally:
        process.terminate()
        process.communicate(timeout=TIMEOUT)
    assert done.returncode == 0, done.stderr
    inspected = set(re.findall(r"^connection pools of process (\d+)", done.stdout, re.MULTILINE))
    assert len(inspected) == 2 + answers
    assert (str(process.pid) in inspected) is answers
    replacing = "uvicorn.supervisors.multiprocess.Multiprocess"
    assert (f"since {replacing}" in done.stdout) is not answers

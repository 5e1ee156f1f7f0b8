"""`doctor --pid`: a hung any-llm program is asked, and whoever can't be asked is left alone."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProvider
from support.waiting import wait_until

from .conftest import (
    LEAKING,
    PYTHON,
    SCRIPTS,
    Doctor,
    Start,
    line_number,
    line_of,
    needs_any_llm,
)

ON = {"OTEL_PYTHON_GLUELLM_SNAPSHOT_SIGNAL": "SIGUSR2"}
INSTRUMENTED = """
import signal, sys
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
GlueLLMInstrumentor().instrument(snapshot_signal="SIGUSR2")
"""
READY = "\nprint('ready', flush=True)\n"

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="no such signals here")


@needs_any_llm
def test_a_hung_program_is_asked_and_the_cause_named(
    doctor: Doctor, start: Start, provider: FakeProvider, tmp_path: Path
) -> None:
    """Every connection is held by a stream that nobody reads, and a call waits for one."""
    script = tmp_path / "service.py"
    script.write_text(
        "from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor\n"
        "GlueLLMInstrumentor().instrument()\n"
        f"exec(compile(open({str(LEAKING)!r}).read(), {str(LEAKING)!r}, 'exec'))\n"
    )
    process = start(PYTHON, script, provider.openai_url, "hang", **ON)
    assert line_of(process) == "leaked"
    done = doctor("--pid", process.pid)
    assert done.returncode == 1, done.stderr
    said = re.sub(r"\s+", " ", done.stdout)
    assert said.startswith("ERROR: leak in openai/"), done.stdout
    assert f"{LEAKING}:{line_number(LEAKING, 'stream=True')} in abandon" in said
    assert "2 active" in said
    assert "1 queued" in said
    # And again, as JSON.
    done = doctor("--pid", process.pid, "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 1
    assert answer["snapshot"]["process"]["pid"] == process.pid
    assert answer["findings"][0]["kind"] == "leak"
    process.kill()
    _, logged = process.communicate()
    assert logged.count("Report on SIGUSR2:") == 2


@needs_any_llm
def test_a_blocked_event_loop_is_told_with_what_blocks_it(
    doctor: Doctor, start: Start, provider: FakeProvider
) -> None:
    """The line of the program where its loop stands still."""
    script = SCRIPTS / "blocking.py"
    process = start(PYTHON, script, provider.openai_url, **ON)
    assert line_of(process) == "blocked"
    # Its lateness grows while it is blocked, and so does what the doctor makes of it.
    wait_until(
        lambda: (
            "ERROR: blocked event loop" in (told := doctor("--pid", process.pid).stdout)
            and f"{script}:{line_number(script, 'time.sleep')} in block" in told
        ),
        "the finding",
    )


def test_nothing_to_worry_about_is_status_0(doctor: Doctor, start: Start) -> None:
    """A process without a call."""
    process = start(PYTHON, "-c", INSTRUMENTED + READY + "sys.stdin.read()")
    assert line_of(process) == "ready"
    done = doctor("--pid", process.pid)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("no findings")
    _, errors = process.communicate("", timeout=10)
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_a_main_thread_that_never_comes_back_is_a_finding(doctor: Doctor, start: Start) -> None:
    """Native code that keeps the interpreter: nobody in the process can answer."""
    keeps = "import collections, itertools; collections.deque(itertools.repeat(0), maxlen=0)"
    process = start(PYTHON, "-c", INSTRUMENTED + READY + keeps)
    assert line_of(process) == "ready"
    done = doctor("--pid", process.pid, "--timeout", "0.5")
    assert done.returncode == 1
    assert done.stdout.startswith("ERROR: no answer")
    assert "py-spy dump" in done.stdout
    as_json = doctor("--pid", process.pid, "--timeout", "0.5", "--json")
    assert json.loads(as_json.stdout)["findings"][0]["kind"] == "no_answer"


def test_a_process_that_is_not_instrumented_lives_on(doctor: Doctor, start: Start) -> None:
    """The signal would kill it, so none is sent; what to do is said."""
    process = start(PYTHON, "-c", "import sys" + READY + "sys.stdin.read()")
    assert line_of(process) == "ready"
    done = doctor("--pid", process.pid)
    assert done.returncode == 2
    assert f"process {process.pid} (python" in done.stderr
    assert 'snapshot_signal="SIGUSR2"' in done.stderr
    assert "OTEL_PYTHON_GLUELLM_SNAPSHOT_SIGNAL=SIGUSR2" in done.stderr
    process.communicate("", timeout=10)
    assert process.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_a_process_that_gave_the_signal_up_lives_on(doctor: Doctor, start: Start) -> None:
    """Its entry is there, and its handler no longer."""
    gave_up = "signal.signal(signal.SIGUSR2, signal.SIG_DFL)"
    process = start(PYTHON, "-c", INSTRUMENTED + gave_up + READY + "sys.stdin.read()")
    assert line_of(process) == "ready"
    done = doctor("--pid", process.pid)
    assert done.returncode == 2
    assert "no longer catches signal" in done.stderr
    process.communicate("", timeout=10)
    assert process.returncode == 0


def test_a_process_after_uninstrument_is_not_asked(doctor: Doctor, start: Start) -> None:
    """It took its entry along."""
    off = "GlueLLMInstrumentor().uninstrument()"
    process = start(PYTHON, "-c", INSTRUMENTED + off + READY + "sys.stdin.read()")
    assert line_of(process) == "ready"
    assert doctor("--pid", process.pid).returncode == 2
    process.communicate("", timeout=10)
    assert process.returncode == 0


def test_an_entry_of_a_dead_process_means_nothing(doctor: Doctor, start: Start) -> None:
    """It has ended, whether or not its parent knows."""
    process = start(PYTHON, "-c", INSTRUMENTED + READY + "sys.stdin.read()")
    assert line_of(process) == "ready"
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    done = doctor("--pid", process.pid)
    assert done.returncode == 2
    if sys.platform == "linux":
        assert "has ended, and waits for its parent" in done.stderr
    process.wait()
    done = doctor("--pid", process.pid)
    assert done.returncode == 2
    assert f"there is no process {process.pid}" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_a_stopped_process_is_told(doctor: Doctor, start: Start) -> None:
    """It could not answer before it goes on."""
    process = start(PYTHON, "-c", INSTRUMENTED + READY + "sys.stdin.read()")
    assert line_of(process) == "ready"
    process.send_signal(signal.SIGSTOP)
    status = Path(f"/proc/{process.pid}/status")
    wait_until(lambda: "State:\tT" in status.read_text(), "stopped")
    done = doctor("--pid", process.pid)
    assert done.returncode == 2
    assert f"kill -CONT {process.pid}" in done.stderr


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to start one as nobody"
)
def test_a_process_of_another_user_is_left_alone(doctor: Doctor) -> None:
    """Not even root asks it: what it would read is in the hands of another."""
    import subprocess

    process = subprocess.Popen(["sleep", "60"], user=65534)
    try:
        done = doctor("--pid", process.pid)
    finally:
        process.kill()
        process.wait()
    assert done.returncode == 2
    assert "belongs to the user with the id 65534, and you are 0" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--pid", "soon"), "found 'soon', allowed is the number of a process"),
        (("--pid", "0"), "found '0'"),
        (("--pid", "-1"), "found '-1'"),
        (("--pid", "99999999999"), "found '99999999999'"),
        (("--pid", "2147483647"), "there is no process 2147483647"),
        (("--pid", "1", "--timeout", "0"), "found '0', allowed is a number of seconds"),
        (("--pid", "1", "--timeout", "nan"), "found 'nan'"),
        (("--pid", "1", "--", "python"), "either --pid or a program, not both"),
        (("--json", "--", "python"), "--json and --timeout go with --pid"),
        ((), "name a program to run"),
        (("--",), "name a program to run"),
    ],
)
def test_wrong_arguments_are_refused(doctor: Doctor, arguments: tuple[str, ...], said: str) -> None:
    """Exit 2, with what was found and what is allowed."""
    done = doctor(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert said in done.stderr
    assert "Traceback" not in done.stderr

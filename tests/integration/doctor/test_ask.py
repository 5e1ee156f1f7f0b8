"""`doctor --pid`: answers of a hung program, and processes that get no signal."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

import gluellm_pools
from gluellm_pools.doctor.process import TargetProcess
from opentelemetry.instrumentation.gluellm.snapshots.format import content_of
from support.waiting import wait_until

from .answering import USUAL, finish, next_line, resume
from .conftest import PYTHON, SCRIPTS, has_signals, line_number, only_linux

ON = {"OTEL_PYTHON_GLUELLM_SNAPSHOT_SIGNAL": "SIGUSR2"}
UNINSTRUMENTING = """
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
GlueLLMInstrumentor().instrument(snapshot_signal="SIGUSR2")
ready()
wait()
GlueLLMInstrumentor().uninstrument()
ready()
wait()
"""
pytestmark = has_signals


def test_cause_in_a_hung_program_is_named(doctor, begin, provider):
    """Unread streams hold every connection, and a call waits for one."""
    script = SCRIPTS / "hanging.py"
    process = begin(PYTHON, script, provider.openai_url, until="leaked", **ON)
    done = doctor("--pid", process.pid)
    assert done.returncode == 1, done.stderr
    text = re.sub(r"\s+", " ", done.stdout)
    assert text.startswith("ERROR: leak in httpx/"), done.stdout
    assert f"{script}:{line_number(script, 'stream=True')} in abandon" in text
    assert "2 active" in text
    assert "1 queued" in text
    # The same as JSON.
    done = doctor("--pid", process.pid, "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 1
    assert answer["snapshot"]["process"]["pid"] == process.pid
    assert answer["findings"][0]["kind"] == "leak"
    process.kill()
    _, logged = process.communicate()
    assert "Report on SIGUSR2:" not in logged  # the doctor has it


def test_blocked_event_loop_is_reported_with_the_blocking_line(doctor, begin, provider):
    script = SCRIPTS / "blocking.py"
    process = begin(PYTHON, script, provider.openai_url, until="blocked", **ON)
    # Ask rarely, since the test doesn't read the process's log: a full pipe would block it.
    watched = ("--pid", process.pid, "--for", "1")
    wait_until(
        lambda: (
            "ERROR: blocked event loop" in (report := doctor(*watched).stdout)
            and f"{script}:{line_number(script, 'time.sleep')} in block" in " ".join(report.split())
        ),
        "the finding",
    )


def test_no_finding_is_status_0(doctor, begin):
    """The process makes no call. After uninstrument(), its entry is gone."""
    process = begin(UNINSTRUMENTING)
    done = doctor("--pid", process.pid)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("no problem found")
    resume(process)
    assert next_line(process) == "ready"
    assert doctor("--pid", process.pid).returncode == 2
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_doctor_runs_on_the_standard_library_alone(begin):
    """-I and -S exclude all installed packages, such as OpenTelemetry."""
    process = begin(USUAL)
    source = str(Path(gluellm_pools.__file__).parents[1])
    code = f"import sys; sys.path.append({source!r}); from gluellm_pools.main import main; main()"
    command = (PYTHON, "-I", "-S", "-c", code, "doctor", "--pid", process.pid)
    begin(*command, until="no problem found")
    finish(process)


def test_report_covers_the_time_that_the_doctor_watched(doctor, begin, tmp_path):
    """The doctor takes two snapshots. The report compares them, and goes to the file."""
    process = begin(USUAL)
    output = tmp_path / "report.json"
    done = doctor("--pid", process.pid, "--for", "0.2", "--json", "-o", output)
    assert (done.returncode, done.stdout) == (0, "")
    assert f"watching process {process.pid} for 0.2 s" in done.stderr
    assert json.loads(output.read_text())["text"].startswith("in these 0.20 s: 0 requests began")
    assert finish(process) == []


@pytest.mark.parametrize("name", ["s.json", "s.json.gz"])
def test_snapshot_is_saved_and_judged_later(name, doctor, begin, provider, tmp_path):
    """The report of the file is that of the process. The doctor says what the file has."""
    code = f"""
    import httpx
    from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
    GlueLLMInstrumentor().instrument(scope="all", snapshot_signal="SIGUSR2")
    client = httpx.Client(trust_env=False)
    client.get("{provider.openai_url}/models?key=canary")
    ready()
    wait()
    """
    process, file = begin(code), tmp_path / name
    done = doctor("--pid", process.pid, "--save", file)
    assert done.returncode == 0, done.stderr
    assert f"wrote {file}, " in done.stderr
    assert " kB: 1 pool, 0 requests in flight. It has hosts, models, " in done.stderr
    assert (file.read_bytes()[:2] == b"\x1f\x8b") is name.endswith(".gz")
    assert doctor(file).stdout == done.stdout
    assert b"canary" not in json.dumps(content_of(file.open("rb"))).encode()


def test_process_that_uninstruments_while_it_is_watched_is_reported(doctor, begin, monkeypatch):
    """Every process that ends uninstruments. The message does not blame its settings."""
    process = begin(UNINSTRUMENTING)

    def ends_within(*_):
        resume(process)
        assert next_line(process) == "ready"

    monkeypatch.setattr(TargetProcess, "ends_within", ends_within)
    done = doctor("--pid", process.pid, "--for", "0.1")
    assert done.returncode == 2
    assert "has ended, or was uninstrumented" in done.stderr


def test_requests_of_the_watched_time_come_first(doctor, begin, provider, monkeypatch):
    """The snapshot's totals still count from instrument() on."""
    code = f"""
    import httpx
    from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
    GlueLLMInstrumentor().instrument(scope="all", snapshot_signal="SIGUSR2")
    client = httpx.Client(trust_env=False)
    for number in range(1000):
        client.get("{provider.openai_url}/models")
        if number == 3:
            ready()
        time.sleep(0.02 * (number > 3))
    """
    process = begin(code)

    def ends_within(*_):
        before = provider.counts.requests
        wait_until(lambda: provider.counts.requests > before + 1)

    monkeypatch.setattr(TargetProcess, "ends_within", ends_within)
    done = doctor("--pid", process.pid, "--for", "0.5", "--json")
    answer = json.loads(done.stdout)
    during = re.match(r"in these 0.50 s: (\d+) requests? began, 0 ended in a pool", answer["text"])
    (totals,) = answer["snapshot"]["totals"]
    assert 1 <= int(during[1]) <= totals["origins"][0]["requests_entered"] - 4


def test_other_settings_and_workers_are_answered_from_the_report(doctor, begin, provider):
    """60 concurrent requests queue for a pool of 7. The doctor replays them with other limits."""
    code = f"""
    import concurrent.futures
    import httpx
    from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
    GlueLLMInstrumentor().instrument(scope="all", snapshot_signal="SIGUSR2")
    client = httpx.Client(limits=httpx.Limits(max_connections=7), timeout=60, trust_env=False)
    with concurrent.futures.ThreadPoolExecutor(60) as threads:
        list(threads.map(client.get, ["{provider.openai_url}/models"] * 60))
    ready()
    wait()
    """
    process = begin(code)
    done = doctor("--pid", process.pid, "--what-if", "max_connections=60", "--workers", "2")
    text = re.sub(r"\s+", " ", done.stdout)
    assert "httpx/httpx: 60 requests in" in text
    assert re.search(r"recorded with max_connections=7: \d+% wait \(p50", text)
    assert "with max_connections=60: no request waits" in text
    assert re.search(
        r"capacity for 2 workers: enough: \d+ of \d+ file descriptors are in use", text
    )
    asked = ("--what-if", "max_connections=2", "--what-if", "traffic=2", "--workers", "10000")
    done = doctor("--pid", process.pid, "--json", *asked)
    answer = json.loads(done.stdout)
    (one,) = answer["what_if"]
    assert (one["max_connections"], one["traffic"], one["requests"]) == (2, 2, 60)
    assert one["replayed"]["p99"] > one["recorded"]["p99"]
    finding = answer["findings"][-1]
    assert (finding["kind"], finding["severity"]) == ("capacity", "warning")
    assert "ocal ports: the pools allow 10000 x 7 = 70000 connections to" in finding["observed"]
    assert "TOO LITTLE: local ports: the pools allow 10000 x 7" in answer["text"]
    assert done.returncode == 1


def test_main_thread_that_never_returns_is_a_finding(doctor, begin):
    """Native code holds the interpreter lock, so the process can't answer."""
    keeps = "import collections, itertools; collections.deque(itertools.repeat(0), maxlen=0)"
    process = begin(f"reporter.install(); ready(); {keeps}")
    done = doctor("--pid", process.pid, "--timeout", "0.3")
    assert done.returncode == 1
    assert done.stdout.startswith("ERROR: no answer")
    assert "py-spy dump" in done.stdout
    as_json = doctor("--pid", process.pid, "--timeout", "0.3", "--json")
    assert json.loads(as_json.stdout)["findings"][0]["kind"] == "no_answer"


def test_process_that_is_not_instrumented_gets_no_signal(doctor, begin):
    """The signal would kill it. The output explains what to do."""
    process = begin("ready(); wait()")
    done = doctor("--pid", process.pid)
    assert done.returncode == 2
    assert f"process {process.pid} (python" in done.stderr
    assert 'snapshot_signal="SIGUSR2"' in done.stderr
    assert "OTEL_PYTHON_GLUELLM_SNAPSHOT_SIGNAL=SIGUSR2" in done.stderr
    finish(process)


@only_linux
def test_process_without_its_signal_handler_gets_no_signal(doctor, begin):
    """Its entry exists, but its handler doesn't."""
    process = begin(
        "reporter.install(); signal.signal(signal.SIGUSR2, signal.SIG_DFL); ready(); wait()"
    )
    done = doctor("--pid", process.pid)
    assert done.returncode == 2
    assert "no longer catches SIGUSR2" in done.stderr
    finish(process)


def test_entry_of_a_dead_process_is_ignored(doctor, begin):
    """This holds before and after its parent has waited for it."""
    process = begin(USUAL)
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    done = doctor("--pid", process.pid)
    assert done.returncode == 2
    assert "handles no signal for reports" in done.stderr
    process.wait()
    done = doctor("--pid", process.pid)
    assert done.returncode == 2
    assert f"there is no process {process.pid}" in done.stderr


@only_linux
def test_stopped_process_is_reported(doctor, begin):
    """It could answer only after SIGCONT."""
    process = begin(USUAL)
    process.send_signal(signal.SIGSTOP)
    status = Path(f"/proc/{process.pid}/status")
    wait_until(lambda: "State:\tT" in status.read_text(), "stopped")
    done = doctor("--pid", process.pid)
    assert done.returncode == 2
    assert f"kill -CONT {process.pid}" in done.stderr


def test_process_without_a_free_descriptor_is_a_finding(doctor, begin):
    """It runs, but cannot open the file for its answer. Its log has the snapshot."""
    process = begin("""
    import contextlib, os, resource
    reporter.install()
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    with contextlib.suppress(OSError):
        while True:
            os.dup(0)
    ready()
    wait()
    """)
    done = doctor("--pid", process.pid, "--timeout", "1")
    assert done.returncode == 1
    text = re.sub(r"\s+", " ", done.stdout)
    assert f"Process {process.pid} has no free file descriptor to answer with: 64 are open." in text
    finish(process)

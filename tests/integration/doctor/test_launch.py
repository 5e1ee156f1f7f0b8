"""`doctor -- PROGRAM`, with real programs that call a fake provider."""

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest

from .answering import TIMEOUT
from .conftest import (
    CALLING,
    DOCTOR,
    LAUNCHER,
    LEAKING,
    PYTHON,
    line_number,
    needs_any_llm,
    needs_launcher,
)

EVERY_CLIENT = {"OTEL_PYTHON_GLUELLM_SCOPE": "all"}
ONE_REQUEST = re.compile(r"^1 request in a run of [\d.]+ s$", re.MULTILINE)


@needs_any_llm
def test_leak_of_a_killed_program_is_reported_with_file_and_line(doctor, provider, tmp_path):
    """The finding has the call site of the abandoned streams, and advice.

    The program is unchanged. Control characters in its path are not printed.
    """
    script = tmp_path / "a\x1b[31mb\u202ec" / LEAKING.name
    script.parent.mkdir()
    script.write_text(LEAKING.read_text())
    done = doctor("--", PYTHON, script, provider.openai_url)
    assert (done.returncode, done.stdout) == (128 + signal.SIGKILL, "leaked\n")
    # A long path is cut at its start.
    place = f"/leaking.py:{line_number(LEAKING, 'stream=True')} in abandon"
    assert not {"\x1b", "\u202e"} & set(done.stderr)
    finding = re.sub(r"\s+", " ", done.stderr[done.stderr.index(": leak in openai/") :])
    assert place in finding
    assert "advice: Write `async with contextlib.aclosing(stream):` above the loop" in finding
    assert re.search(r"when: +[\d.]+ s( to [\d.]+ s)? after the process started", finding)
    assert "was ended by SIGKILL" in done.stderr
    for absent in ("ERROR:opentelemetry", "already instrumented", "could not"):
        assert absent not in done.stderr


def test_other_settings_are_answered_at_the_end_of_a_program(doctor, provider):
    """One request is too few for a replay, but enough for the capacity."""
    asked = ("--what-if", "max_connections=2", "--workers", "3")
    done = doctor(*asked, "--", PYTHON, CALLING, provider.openai_url, **EVERY_CLIENT)
    message = re.sub(r"\s+", " ", done.stderr)
    assert "no replay: a replay needs 50 requests of this pool" in message
    assert re.search(
        r"capacity for 3 workers: (enough|TOO LITTLE): \d+ of \d+ file descriptors are in use, and "
        r"the pools allow 100 connections in each worker",
        message,
    )


@pytest.mark.parametrize(
    ("ways", "message"),
    [
        ((), ""),
        # Its meter provider counts the request, nothing is logged, and the doctor observes it too.
        (("instrument",), "counted 1\n"),
        (("client",), "counted 1\n"),
        # The doctor still observes a program whose instrument() fails.
        (("refused",), "refused\n"),
    ],
    ids=["healthy", "its own instrument()", "its own instrument_client()", "one that is refused"],
)
def test_calls_are_counted_whatever_the_program_turns_on(doctor, provider, ways, message):
    """A healthy program logs nothing above INFO."""
    done = doctor("--", PYTHON, CALLING, provider.openai_url, *ways, **EVERY_CLIENT)
    assert done.returncode == 0
    assert done.stdout == f"{message}called\n"
    assert ONE_REQUEST.search(done.stderr)
    for absent in ("WARNING", "ERROR", "already instrumented"):
        assert absent not in done.stderr
    assert ("mine/httpx" in done.stderr) is (ways == ("client",))


@pytest.mark.parametrize(
    ("argument", "variable", "threshold"),
    [("", "", 10.0), ("", "20", 20.0), ("leak_threshold=30.0", "20", 30.0)],
)
def test_leak_threshold_of_the_doctor_holds_for_the_programs_own_instrument(
    doctor, argument, variable, threshold
):
    """A threshold of the environment or the program wins."""
    code = (
        "from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot\n"
        f"GlueLLMInstrumentor().instrument({argument})\n"
        "print(snapshot().leak_threshold)"
    )
    setting = {"OTEL_PYTHON_GLUELLM_LEAK_THRESHOLD": variable}
    assert doctor("--", PYTHON, "-c", code, **setting).stdout == f"{threshold}\n"


@pytest.mark.parametrize(
    ("code", "status", "message"),
    [
        ("import os; os._exit(4)", 4, "ended with status 4"),
        ("import os; os.kill(os.getpid(), 15)", 143, "was ended by SIGTERM"),
    ],
)
def test_the_exit_status_is_the_programs(doctor, place, code, status, message):
    """A signal becomes 128 plus its number. No file is left."""
    done = doctor("--", PYTHON, "-c", code)
    assert (done.returncode, done.stdout) == (status, "")
    assert message in done.stderr
    assert "No request was observed" in done.stderr
    assert not list(place.iterdir())


@pytest.mark.parametrize("arguments", [("sk-secret",), ("-k", "sk-secret")])
def test_arguments_of_a_program_are_not_repeated(doctor, arguments):
    """The first argument, a script, is printed only if the file exists."""
    done = doctor("--", "true", *arguments)
    assert "true ended with status 0" in done.stderr
    assert "sk-secret" not in done.stdout + done.stderr


def test_program_gets_its_streams_and_arguments_unchanged(begin, tmp_path):
    """These are standard input and output, options that the doctor has as well, and ``--``."""
    output = tmp_path / "report.json"
    code = "import sys; print(sys.stdin.readline().strip(), sys.argv[1:])"
    arguments = ("--", PYTHON, "-c", code, "--pid", "7", "--", "--json")
    process = begin(*DOCTOR, "--json", "-o", output, *arguments, until="")
    out, errors = process.communicate("typed\n", timeout=TIMEOUT)
    assert out == "typed ['--pid', '7', '--', '--json']\n"
    assert "gluellm-pools" not in errors
    assert json.loads(output.read_text())["status"] == process.returncode == 0


def test_process_that_outlives_the_doctor_is_not_affected(doctor, tmp_path):
    """It keeps the doctor's environment variables, and its own child processes run normally."""
    later = tmp_path / "environment"
    code = f"import json, os; open({str(later)!r}, 'w').write(json.dumps(dict(os.environ)))"
    doctor("--", PYTHON, "-c", code)
    done = subprocess.run(
        [PYTHON, "-c", "print('runs')"],
        env=json.loads(later.read_text()),
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("runs\n", "")


@needs_launcher
def test_program_under_opentelemetry_instrument_is_observed(doctor, provider):
    """Both sitecustomize modules run, and the instrumentations enabled by it stay on."""
    command = (LAUNCHER, PYTHON, CALLING, provider.openai_url)
    exporters = {f"OTEL_{name}_EXPORTER": "none" for name in ("TRACES", "LOGS")}
    exporters["OTEL_METRICS_EXPORTER"] = "console"
    done = doctor("--", *command, **exporters, **EVERY_CLIENT)
    assert done.returncode == 0, done.stderr
    assert "called\n" in done.stdout
    assert '"gluellm.pool.requests"' in done.stdout
    assert ONE_REQUEST.search(done.stderr)


def test_child_processes_with_calls_are_reported(doctor, provider):
    """The report names the ids of a started and a forked process, which made calls."""
    done = doctor("--", PYTHON, CALLING, provider.openai_url, "child", "fork", **EVERY_CLIENT)
    assert done.returncode == 0, done.stderr
    reported = r"^process (\d+) \(python\S* calling.py\), 1 request in"
    assert len(set(re.findall(reported, done.stderr, re.MULTILINE))) == 2


def test_a_sitecustomize_hidden_by_the_doctors_runs(doctor, tmp_path):
    """It runs once under its own name, and can import from its directory."""
    (tmp_path / "sitecustomize.py").write_text("import beside\nprint(__name__, beside.there)\n")
    (tmp_path / "beside.py").write_text("there = True\n")
    code = "import sys; print(sys.modules['sitecustomize'].__file__)"
    done = doctor("--", PYTHON, "-c", code, PYTHONPATH=str(tmp_path))
    assert done.stdout.splitlines() == ["sitecustomize True", str(tmp_path / "sitecustomize.py")]


def test_a_python_without_the_package_is_named(doctor, tmp_path):
    """The program runs, and the message names the Python to install the package for."""
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    bare = tmp_path / "bare" / "bin" / "python"
    done = doctor("--", bare, "-c", "print('runs')", PYTHONPATH="")
    assert (done.returncode, done.stdout) == (0, "runs\n")
    assert f"Is opentelemetry-instrumentation-gluellm installed for {bare}?" in done.stderr


@pytest.mark.parametrize(
    "command", [("sh", "-c", "exit 5"), (PYTHON, "-I", "-c", "raise SystemExit(5)")]
)
def test_program_that_can_not_be_observed_is_reported(doctor, command):
    """The program is not Python, or Python ignores the environment. It runs normally."""
    done = doctor("--", *command)
    assert done.returncode == 5
    assert "no Python program, or its Python ignores PYTHONPATH" in done.stderr


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("no-such-program", 127, "'no-such-program' can't be run: No such file"),
        ("./no-such-program", 127, "'./no-such-program' can't be run: No such file"),
        ("app.py", 127, "with its Python: gluellm-pools doctor -- python app.py"),
        ("/", 126, "'/' can't be run: Permission denied"),
        (str(CALLING), 126, "Permission denied; run a script with its Python"),
        # It is in the working directory, but not in PATH.
        ("here.py", 127, "with its Python: gluellm-pools doctor -- python here.py"),
        # The interpreter is missing. The system's message would blame the script.
        ("script", 127, "can't be run: No such file or directory"),
    ],
)
def test_program_that_can_not_be_run_has_the_status_of_a_shell(
    doctor, tmp_path, monkeypatch, command, status, message
):
    """The status is 126 or 127, and the message explains what to do."""
    monkeypatch.chdir(tmp_path)
    Path("here.py").touch()
    if command == "script":
        script = tmp_path / command
        script.write_text("#!/no/such/interpreter\n")
        script.chmod(0o755)
        command = script
    done = doctor("--", command)
    assert done.returncode == status
    assert message in done.stderr

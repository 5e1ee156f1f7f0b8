"""The demo in its own process: its output is right, and it ends cleanly.

An act continues until its process has found what is wrong.
"""

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from pathlib import Path

import pytest

from gluellm_pools.demo import faults
from support import watching
from support.watching import COMMAND, environment

TIMEOUT = 120
AT_FAULT = ("nobody", "the pool", "the provider or the timeout", "the program")
"""In each act of the default demo."""


def ended(*command: str, **more: str) -> subprocess.CompletedProcess[str]:
    done = watching.ended(*command, timeout=TIMEOUT, **more)
    assert "Traceback" not in done.stdout + done.stderr
    return done


def demo(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return ended(*COMMAND, "demo", *arguments, **more)


def output_of(done: subprocess.CompletedProcess[str]) -> str:
    """Return the output of a demo, of which every act was observed."""
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT OBSERVED" not in done.stdout
    assert "\x1b" not in done.stdout
    return done.stdout


def test_default_demo_finds_different_faults_behind_the_same_symptom():
    """Callers see the same in "saturated" and "slow". The summary has three lines."""
    text = output_of(demo())
    _, *acts = re.split(r"(?m)^act \d of 4: ", text)
    assert [act.partition(".")[0] for act in acts] == ["healthy", "saturated", "slow", "leak"]
    assert text.count("\nobserved in ") == 4
    assert "logged meanwhile" not in text
    symptoms = re.findall(r"what callers see: (.*)", text)
    symptom = re.compile(
        r"calls to openai now take ~[\d.]+ s, and (some|all) fail: openai.APITimeoutError: .*"
    )
    assert symptom.fullmatch(symptoms[1])
    assert symptom.fullmatch(symptoms[2])
    found = re.findall(r"at fault: ([\w ]+): ", text)
    assert tuple(found) == AT_FAULT
    *_, seen, at_fault, command = text.splitlines()
    error = "openai.APITimeoutError: Request timed out"
    assert seen == f"Callers saw, by act: {error} (saturated, slow, leak)."
    assert at_fault.endswith("; the program (leak).")
    assert command == "To check your own program: gluellm-pools doctor -- python app.py"
    assert_leak_is_logged(text)


def assert_leak_is_logged(text: str) -> None:
    """Assert that the log has the lines that abandoned streams, and a timeout's note has one."""
    code = Path(faults.__file__).read_text().splitlines()
    name = "gluellm_pools/demo/faults.py"
    warned = re.findall(rf"logged: WARNING Connection leak .* at {name}:(\d+) in (\S+)\)", text)
    assert {function for _, function in warned} == {"_never_read", "_break_off"}
    for line, _ in warned:
        assert "stream=True" in code[int(line) - 1]
    assert text.count("caught: openai.APITimeoutError") == 1
    note = re.search(r"its note: Connection pool openai/httpx2: max 4, active 4,.*", text)
    assert note is not None
    assert "unread for" in note[0]
    assert f"{name}:" in note[0]
    assert re.search(r"at fault: the program: leak: (.*\. )?4 of 4 connections", text)
    assert "advice:      Write `async with" in text
    assert str(Path.cwd()) not in text


def test_acts_of_slow_calls_name_causes_outside_of_pools():
    """These are retries after 429, which the SDK hides, and streams that receive only pings.

    The endpoint is unreachable: the failed export is logged once, and the demo ends normally.
    """
    there = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    often = {"OTEL_PYTHON_GLUELLM_FINDINGS_INTERVAL": "1"}
    limited = output_of(
        demo("--scenario", "rate-limited", OTEL_EXPORTER_OTLP_TIMEOUT="1", **there, **often)
    )
    stalled = output_of(demo("--scenario", "stalled-stream", **often))
    assert "Exporting to http://127.0.0.1:9" in limited
    assert "logged meanwhile" in limited
    faults = [re.findall(r"at fault: (.*)", act) for act in (limited, stalled)]
    retries = r"the provider: retries: .*\d retries after HTTP 429.*"
    assert re.fullmatch(retries, *faults[0])
    silent = r"the provider: stalled streams: 3 streams without an item, .* while bytes arrive\."
    assert re.fullmatch(silent, *faults[1])
    assert re.search(r"calls to openai \(any_llm\): .*backoff \d\d% .*; retries \d", limited)
    assert "what callers see: no call to openai has ended recently" in stalled
    assert "\nAt fault, by act: the provider (rate-limited).\n" in limited
    assert "\nAt fault, by act: the provider (stalled-stream).\n" in stalled


def test_ctrl_c_ends_with_the_summary():
    """The act's abandoned streams are closed, and the exit status is 130."""
    process = watching.started(*COMMAND, "demo", "--scenario", "leak", PYTHONUNBUFFERED="1")
    assert process.stdout is not None
    while "caught: openai.APITimeoutError" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert "\nInterrupted: " in f"\n{out}"  # readline() may have taken the lines before it
    assert "To check your own program: gluellm-pools doctor" in out
    assert "logged meanwhile" not in out
    assert err == ""


def test_a_signal_leaves_the_terminal_in_order():
    """The live view hides the cursor, and the end shows it again."""
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, "demo", "--scenario", "healthy"],
        stdout=inside,
        stderr=inside,
        env=environment(TERM="xterm"),
    )
    os.close(inside)
    printed = b""
    with os.fdopen(terminal, "rb", buffering=0) as output, contextlib.suppress(OSError):
        while b"what callers see" not in printed:
            printed += output.read(4096)
        process.terminate()
        while chunk := output.read(4096):
            printed += chunk
    assert process.wait(TIMEOUT) == 143
    assert printed.rfind(b"\x1b[?25h") > printed.rfind(b"\x1b[?25l") > 0
    assert b"Traceback" not in printed


EXTRA = ("rich", "any_llm", "openai", "anthropic", "h11", "h2", "opentelemetry.sdk")


@pytest.mark.parametrize("missing", [EXTRA, ("h2",)], ids=" ".join)
def test_missing_extra_is_named_and_list_needs_none(tmp_path, missing):
    """Without modules of the extra, the exit status is 2, except for --list."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name in {missing}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}')\n"
        "sys.meta_path.insert(0, Missing())\n"
    )
    path = f"{tmp_path}:{environment().get('PYTHONPATH', '')}"
    done = demo(PYTHONPATH=path)
    assert done.returncode == 2
    found = re.match(r"gluellm-pools demo: No module named '([\w.]+)'\.\n", done.stderr)
    assert found[1] in missing
    assert "pip install 'opentelemetry-instrumentation-gluellm[demo]'" in done.stderr
    done = demo("--list", PYTHONPATH=path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "healthy" in done.stdout

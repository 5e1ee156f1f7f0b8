"""`doctor -- PROGRAM` and signals: Ctrl-C at a terminal, and signals of a supervisor."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess

import pytest

from support.waiting import PATIENCE, wait_until

from .answering import TIMEOUT, environment
from .conftest import CALLING, DOCTOR, PYTHON

EVERY_CLIENT = {"OTEL_PYTHON_GLUELLM_SCOPE": "all"}


@pytest.mark.parametrize(
    ("sent", "before"), [(signal.SIGTERM, ()), (signal.SIGINT, ("setsid",))], ids=["TERM", "INT"]
)
def test_signal_to_the_doctor_is_passed_on_and_findings_are_printed(begin, provider, sent, before):
    """The signal comes from a supervisor, without a terminal."""
    command = (*before, *DOCTOR, "--", PYTHON, CALLING, provider.openai_url, "wait")
    process = begin(*command, until="called", **EVERY_CLIENT)
    process.send_signal(sent)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 128 + sent
    assert f"was ended by {sent.name}" in errors
    assert errors.count("KeyboardInterrupt") == (sent == signal.SIGINT)
    if sent == signal.SIGINT:  # after which the program can write its last report
        assert re.search(r"^1 request in", errors, re.MULTILINE)


def test_program_that_does_not_end_after_a_signal_is_reported_at_once(begin, provider, tmp_path):
    """A server waits for its requests, which hang. Its end is reported as well."""
    output = tmp_path / "report.json"
    command = (*DOCTOR, "--json", "-o", output, "--", PYTHON, CALLING, provider.openai_url)
    process = begin(*command, "wait", "stubborn", until="called", **EVERY_CLIENT)
    process.terminate()
    wait_until(output.exists, timeout=PATIENCE)
    text = wait_until(
        lambda: "processes" in (text := output.read_text()) and text, timeout=PATIENCE
    )
    report = json.loads(text)
    assert report["status"] is None
    assert [one["requests"] for one in report["processes"]] == [1]
    assert process.poll() is None
    os.kill(report["processes"][0]["pid"], signal.SIGKILL)
    process.communicate(timeout=TIMEOUT)
    assert process.returncode == 128 + signal.SIGKILL
    assert json.loads(output.read_text())["status"] == -signal.SIGKILL


def test_ctrl_c_ends_the_program_and_then_prints_the_findings(provider):
    """The program gets one KeyboardInterrupt. The doctor outlives it and returns its status."""
    master, slave = pty.openpty()
    take = (
        "import fcntl, os, sys, termios; os.setsid(); "
        "fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = (*DOCTOR, "--", PYTHON, str(CALLING), provider.openai_url, "wait")
    doctor = subprocess.Popen(
        [PYTHON, "-c", take, *command],
        **dict.fromkeys(("stdin", "stdout", "stderr"), slave),
        env=environment(PYTHONPATH=os.environ.get("PYTHONPATH", ""), **EVERY_CLIENT),
    )
    os.close(slave)
    shown = b""
    try:
        while b"called" not in shown:
            shown += os.read(master, 4096)
        os.write(master, b"\x03")
        with contextlib.suppress(OSError):  # EIO once the other end is closed
            while read := os.read(master, 4096):
                shown += read
        assert doctor.wait(TIMEOUT) == 128 + signal.SIGINT
    finally:
        doctor.kill()
        doctor.wait()
        os.close(master)
    assert shown.count(b"KeyboardInterrupt") == 1
    # A line of "=" separates the report from the program's traceback.
    assert re.search(rb"KeyboardInterrupt\S*\r\n\r\n={80}\r\ngluellm-pools doctor: .*SIGINT", shown)
    assert b"1 request in" in shown
    assert b"Interrupted." not in shown

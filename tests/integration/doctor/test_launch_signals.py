"""`doctor -- PROGRAM` and signals: Ctrl-C at a terminal, and what a supervisor sends."""

import os
import pty
import re
import signal
import subprocess

import pytest

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
    if sent == signal.SIGINT:  # which lets it write its last report
        assert re.search(r"^1 request in", errors, re.MULTILINE)


class Terminal:
    """A terminal with a doctor in its foreground."""

    def __init__(self, *arguments: object) -> None:
        self.master, slave = pty.openpty()
        take = (
            "import fcntl, os, sys, termios; os.setsid(); "
            "fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
        )
        self.process = subprocess.Popen(
            [PYTHON, "-c", take, *DOCTOR, *map(str, arguments)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(PYTHONPATH=os.environ.get("PYTHONPATH", ""), **EVERY_CLIENT),
        )
        os.close(slave)
        self.shown = ""

    def until(self, text: str) -> None:
        """Read until the text was shown."""
        while text not in self.shown:
            try:
                self.shown += os.read(self.master, 4096).decode()
            except OSError as error:  # EIO, once nobody has the other end
                raise AssertionError(self.shown) from error

    def rest(self) -> str:
        """Read to the end; everything that was shown."""
        try:
            while read := os.read(self.master, 4096):
                self.shown += read.decode()
        except OSError:  # EIO, once nobody has the other end
            pass
        return self.shown

    def press_ctrl_c(self) -> None:
        os.write(self.master, b"\x03")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)


def test_ctrl_c_ends_the_program_and_then_prints_the_findings(provider):
    """One KeyboardInterrupt in the program; the doctor outlives it and has the status of it."""
    terminal = Terminal("--", PYTHON, CALLING, provider.openai_url, "wait")
    try:
        terminal.until("called")
        terminal.press_ctrl_c()
        shown = terminal.rest()
        assert terminal.process.wait(TIMEOUT) == 128 + signal.SIGINT
    finally:
        terminal.close()
    assert shown.count("KeyboardInterrupt") == 1
    assert "was ended by SIGINT" in shown
    assert "1 request in" in shown
    assert "Interrupted." not in shown

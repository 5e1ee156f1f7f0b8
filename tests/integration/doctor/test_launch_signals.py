"""`doctor -- PROGRAM` and signals: Ctrl-C at a terminal, and what a supervisor sends."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess

from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProvider

from .conftest import CALLING, DOCTOR, PYTHON, TIMEOUT, Start, line_of, needs_any_llm


@needs_any_llm
def test_a_terminated_doctor_terminates_the_program(start: Start, provider: FakeProvider) -> None:
    """And tells what was found."""
    process = start(*DOCTOR, "--", PYTHON, CALLING, provider.openai_url, "wait")
    assert line_of(process) == "called"
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 128 + signal.SIGTERM
    assert "was ended by SIGTERM" in errors


@needs_any_llm
def test_an_interrupt_without_a_terminal_is_passed_on(start: Start, provider: FakeProvider) -> None:
    """A supervisor sends it to the doctor only."""
    process = start("setsid", *DOCTOR, "--", PYTHON, CALLING, provider.openai_url, "wait")
    assert line_of(process) == "called"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 128 + signal.SIGINT
    assert errors.count("KeyboardInterrupt") == 1
    assert re.search(r"^1 request in", errors, re.MULTILINE)


class Terminal:
    """A terminal with a doctor in its foreground."""

    def __init__(self, environment: dict[str, str], *arguments: object) -> None:
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
            env=environment,
        )
        os.close(slave)
        self.shown = ""

    def until(self, text: str, times: int = 1) -> None:
        """Read until the text was shown that often."""
        while self.shown.count(text) < times:
            self.shown += os.read(self.master, 4096).decode()

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


@needs_any_llm
def test_ctrl_c_ends_the_program_and_then_tells(
    environment: dict[str, str], provider: FakeProvider
) -> None:
    """One KeyboardInterrupt in the program; the doctor outlives it and has the status of it."""
    terminal = Terminal(environment, "--", PYTHON, CALLING, provider.openai_url, "wait")
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


@needs_any_llm
def test_ctrl_c_tells_of_a_program_that_does_not_end(
    environment: dict[str, str], provider: FakeProvider
) -> None:
    """What was found so far, each time; in the end the status of the program."""
    terminal = Terminal(environment, "--", PYTHON, CALLING, provider.openai_url, "stay")
    try:
        terminal.until("called")
        for times in (1, 2):
            terminal.press_ctrl_c()
            terminal.until("stays", times)
            terminal.until("goes on; this was found so far", times)
        terminal.process.send_signal(signal.SIGTERM)
        shown = terminal.rest()
        assert terminal.process.wait(TIMEOUT) == 128 + signal.SIGTERM
    finally:
        terminal.close()
    assert len(re.findall(r"^1 request in", shown, re.MULTILINE)) == 3

"""Processes that answer wrongly, end, or drop their handler at a bad moment."""

import json
import os
import signal
import subprocess
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.waiting import wait_until

from .answering import (
    FINE,
    FROM_HERE,
    USUAL,
    doctor_of,
    environment,
    files_in,
    finish,
    next_line,
    resume,
)
from .conftest import PYTHON, has_signals, only_linux

pytestmark = has_signals

ANSWERING = """
import contextlib, json
def answer(token, body):
    path = presence.directory.path
    unfinished = path / f"{os.getpid()}-{token}.unfinished"
    unfinished.write_bytes(body)
    unfinished.replace(path / f"{os.getpid()}-{token}.answer")

def body_of(**process):
    PROCESS.update(process)
    return json.dumps(take().to_dict()).encode()

def asked(*_):
    for token in presence.requests():
        respond(token)

signal.signal(signal.SIGUSR2, asked)
presence = Presence(signal.SIGUSR2)
def end():
    wait()
    with contextlib.suppress(OSError):
        presence.withdraw()
"""


KEEPS_ENTRY = """
from opentelemetry.instrumentation.gluellm.snapshots.on_signal import reporter as on_signal
on_signal._FIRST_LOOK = 3600.0
"""
"""Otherwise, the process writes its entry anew from time to time."""


@pytest.mark.parametrize(
    ("respond", "status", "message"),
    [
        ("answer(token, b'\\xff\\xfe')", 2, "not JSON"),
        *((f"answer(token, b'{answer}')", 2, "no JSON object") for answer in ("[]", "1")),
        ("answer(token, b'{}')", 2, "format: expected a whole number, found nothing"),
        ("answer(token, b'{\"format\": 99}')", 2, "format 99; this doctor reads up to 1"),
        ("answer(token, body_of(libraries_observed=('a\\x1b[2Jb\\ud800',)))", 0, ""),
        ("answer(token, body_of(open_descriptors=10**18, descriptor_limit=64))", 1, ""),
        ('answer(token, b\'{"error": "\\\\u001b[2J"}\')', 2, "failed to take its snapshot, with"),
        ("presence.directory.remove(f'{os.getpid()}-{token}.request')", 2, "is it full?"),
        ("presence.withdraw()", 2, "ended, or was uninstrumented, before it answered"),
    ],
)
def test_invalid_answer_is_reported_at_once(doctor, private, begin, respond, status, message):
    """The message has no traceback and no escape sequence. No file is left."""
    process = begin(f"{ANSWERING}\ndef respond(token):\n    {respond}\nready(); end()")
    returned, printed, errors = doctor("--pid", process.pid)
    assert returned == status, errors
    assert message in errors
    assert "\x1b" not in printed + errors
    assert [name for name in files_in(private) if name != f"{process.pid}.json"] == []
    finish(process)


def test_entry_that_names_another_signal_gets_no_signal(doctor, private, begin):
    """SIGINT, for which Python has a handler, would end the program."""
    process = begin(f"{KEEPS_ENTRY}\n{USUAL}")
    entry = private / f"{process.pid}.json"
    content = json.loads(entry.read_text())
    for number in (9, 2, 0, -5, 10**30, True, "SIGUSR2", None):
        entry.write_text(json.dumps({**content, "signal": number}))
        status, _, message = doctor("--pid", process.pid)
        assert status == 2
        assert "lists no valid signal for reports" in message
    assert finish(process) == []


def test_late_answer_is_removed(doctor, private, begin):
    """The process removes it because the doctor has exited. Snapshots contain call sites."""
    code = """
    def slowly():
        print("asked", flush=True)
        wait()
        return take()
    reporter = SignalReporter("SIGUSR2", slowly, text_of, log)
    reporter.install()
    ready()
    threading.Event().wait(60)
    """
    process = begin(code)
    saving = ("--save", private.parent / "s.json")
    status, printed, message = doctor("--pid", process.pid, "--timeout", 0.3, *saving)
    assert status == 1
    assert "did not answer within 0.3 s" in printed
    assert "there is no snapshot to save" in message
    assert next_line(process) == "asked"
    resume(process)
    assert next_line(process).startswith("Report on")
    assert files_in(private) == [f"{process.pid}.json"]


def test_process_that_ends_before_its_answer_is_reported(doctor, private, begin):
    """The doctor removes its files."""
    process = begin(f"{ANSWERING}\ndef respond(token): os._exit(3)\nready(); end()")
    status, _, message = doctor("--pid", process.pid)
    assert status == 2
    assert "before it answered" in message, message
    assert process.wait(60) == 3
    assert files_in(private) == [f"{process.pid}.json"]


def test_killed_doctor_leaves_no_files(place, private, begin):
    """`timeout 5 gluellm-pools doctor --pid 4242` kills it, for example."""
    process = begin(f"{ANSWERING}\ndef respond(token): pass\nready(); end()")
    asking = subprocess.Popen(
        [PYTHON, "-c", _doctor_code(""), str(process.pid)], env=environment(TMPDIR=str(place))
    )
    wait_until(lambda: len(files_in(private)) == 2, "a request")
    asking.terminate()
    assert asking.wait(30) == 128 + signal.SIGTERM
    assert files_in(private) == [f"{process.pid}.json"]
    finish(process)


# Between the last check of the process and the signal

AT_THE_MOMENT = """
import os, sys
from gluellm_pools.doctor.process import TargetProcess
send = TargetProcess.send
def late(process, number):
    print("looked", flush=True)
    os.read({pipe}, 1)
    send(process, number)
TargetProcess.send = late
"""
SLOW_TO_END = """
class Last:
    write, read = staticmethod(os.write), staticmethod(os.read)
    def __del__(self):
        self.write(1, b"ready\\n")
        self.read(0, 1)
import types
sys.modules["last"] = types.ModuleType("last")
sys.modules["last"].last = Last()
"""
"""An object that delays the interpreter's exit after signal handlers are removed."""


@pytest.mark.parametrize(
    ("end", "status"),
    [("reporter.uninstall(); ready(); wait()", 0), ("sys.exit(7)", 7)],
    ids=["uninstall", "exit"],
)
def test_process_that_drops_its_handler_is_not_killed(place, begin, end, status):
    """Because of the request, it keeps a handler or ignores the signal until its end."""
    slow = SLOW_TO_END if status else ""
    process = begin(f"{slow}reporter.install(); ready(); wait(); {end}")
    read, write = os.pipe()
    looking = subprocess.Popen(
        [PYTHON, "-c", _doctor_code(AT_THE_MOMENT.format(pipe=read)), str(process.pid)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=[read],
        env=environment(TMPDIR=str(place)),
    )
    try:
        assert looking.stdout is not None
        assert looking.stdout.readline() == "looked\n"
        resume(process)
        # Its entry is removed. If it ends, the interpreter has removed its handlers as well.
        assert next_line(process) == "ready"
        os.write(write, b".")
        _, errors = looking.communicate(timeout=30)
        assert "before it answered" in errors
        resume(process)
        assert process.wait(30) == status
    finally:
        looking.kill()
        looking.communicate()
        os.close(read)
        os.close(write)


def _doctor_code(before: str) -> str:
    return (
        f"{FROM_HERE}from gluellm_pools.main import main\n"
        f"{before}\nsys.exit(main(['doctor', '--pid', sys.argv[1]]))\n"
    )


def test_signal_without_effect_is_sent_again(doctor, begin):
    """A signal just before a system call is handled after it."""
    code = """
    def asked(*_):
        signal.signal(signal.SIGUSR2, second)
    def second(*_):
        for token in presence.requests():
            answer(token, body_of())
    signal.signal(signal.SIGUSR2, asked)
    ready()
    end()
    """
    process = begin(f"{ANSWERING}\n{textwrap.dedent(code)}")
    status, printed, errors = doctor("--pid", process.pid)
    assert (status, errors) == (0, "")
    assert printed.startswith(FINE.format(process.pid))
    finish(process)


# Concurrency and invalid process ids


def test_two_doctors_at_once_are_both_answered(place, private, begin):
    """Each doctor has its own token."""
    process = begin(USUAL)
    with ThreadPoolExecutor(2) as threads:
        asking = [threads.submit(doctor_of, None, place, "--pid", process.pid) for _ in range(2)]
    done = [one.result() for one in asking]
    assert [one.returncode for one in done] == [0, 0], done
    assert all(one.stdout.startswith(FINE.format(process.pid)) for one in done)
    assert files_in(private) == [f"{process.pid}.json"]
    finish(process)


@only_linux
def test_thread_and_doctor_itself_are_refused(doctor, begin):
    """The message for a thread names its process."""
    status, _, message = doctor("--pid", os.getpid())
    assert status == 2
    assert "handles no signal for reports" in message
    process = begin(USUAL)
    (thread,) = (
        int(one.name)
        for one in Path(f"/proc/{process.pid}/task").glob("*")
        if int(one.name) != process.pid
    )
    status, _, message = doctor("--pid", thread)
    assert status == 2
    assert f"{thread} is a thread: use --pid {process.pid}" in message
    assert finish(process) == []

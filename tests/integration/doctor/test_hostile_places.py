"""Hostile environments: temporary directories, streams, limits, variables."""

import os
import subprocess
from pathlib import Path

import pytest

from .answering import (
    FINE,
    MAIN,
    TIMEOUT,
    USUAL,
    doctor_of,
    environment,
    files_in,
    finish,
    next_line,
)
from .conftest import PYTHON, has_signals

pytestmark = has_signals
NO_ROOM = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
"""Code after which no file can be written, as on a full disk."""


def odd(place: Path) -> Path:
    made = place / "a b\n\x1b[31m\u202e漢\udcff"
    made.mkdir()
    return made


def linked(place: Path) -> Path:
    (place / "real").mkdir()
    (place / "link").symlink_to("real")
    return place / "link"


def deep(place: Path) -> Path:
    """Make a path near the maximum length, with space for what the package adds."""
    while len(str(place)) < 3_700:
        place /= "x" * 200
        place.mkdir()
    return place


@pytest.mark.parametrize("make", [odd, linked, deep])
def test_temporary_directory_may_have_any_name(doctor, tmp_path, begin, make):
    place = {"TMPDIR": os.fspath(make(tmp_path))}
    process = begin(USUAL, **place)
    done = doctor("--pid", process.pid, **place)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(FINE.format(process.pid))
    assert finish(process) == []
    # A message with the directory contains no control characters.
    done = doctor("--pid", os.getpid(), **place)
    assert done.returncode == 2
    assert "with the same TMPDIR" in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("value", ["x" * 4000, "relative", "/nowhere", "/dev/null", ""])
def test_unusable_temporary_directory_is_skipped(doctor, private, begin, value):
    """The next usable one is used, as by Python's tempfile."""
    places = {"TMPDIR": value, "TEMP": os.fspath(private.parent)}
    process = begin(USUAL, **places)
    assert files_in(private) == [f"{process.pid}.json"]
    done = doctor("--pid", process.pid, **places)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(FINE.format(process.pid))
    finish(process)


def test_without_a_writable_directory_reports_go_to_the_log(place, begin):
    """This is like a container with a read-only file system. The doctor reports the reason."""
    process = begin(f"{NO_ROOM}; {USUAL}", until="")
    line = next_line(process)
    assert line.startswith("Reports on SIGUSR2 go to the log only"), line
    assert "No usable temporary directory" in line
    assert next_line(process) == "ready"
    done = doctor_of(None, place, "--pid", process.pid, before=NO_ROOM)
    assert done.returncode == 2
    assert "No usable temporary directory" in done.stderr
    assert "Traceback" not in done.stderr
    assert finish(process) == []
    assert not files_in(place)


def test_disk_that_fills_up_later_is_reported(doctor, place, private, begin):
    """The doctor reports that the answer can't be written, not a hang. The log has the report."""
    process = begin(f"reporter.install(); {NO_ROOM}; ready(); wait()")
    done = doctor("--pid", process.pid)
    assert done.returncode == 2
    assert f"could not write its answer to {private}: is it full?" in done.stderr
    assert files_in(private) == [f"{process.pid}.json"]
    late = "import tempfile; tempfile.gettempdir()\n" + NO_ROOM
    done = doctor_of(None, place, "--pid", process.pid, before=late)
    assert done.returncode == 2
    assert "can't be inspected" in done.stderr
    assert files_in(private) == [f"{process.pid}.json"]
    assert len(finish(process)) == 1


@pytest.mark.parametrize(
    ("closed", "status"), [("1>&-", 0), ("2>&-", 2), ("0<&- 1>&- 2>&-", 0), ("0<&- 1>&- 2>&-", 2)]
)
def test_doctor_without_standard_streams_returns_its_status(place, begin, closed, status):
    """The status is that of an answer or that of a refusal."""
    process = begin("ready(); wait()" if status else USUAL)
    done = subprocess.run(
        ["sh", "-c", f'"{PYTHON}" -m {MAIN} doctor --json --pid {process.pid} {closed}'],
        env=environment(TMPDIR=str(place), PYTHONPATH=os.environ.get("PYTHONPATH", "")),
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert b"Traceback" not in done.stderr
    finish(process)


# The program's own handlers


def test_replaced_handler_is_named_as_a_possible_cause_of_no_answer(doctor, begin):
    """A hung program is not the only cause that the doctor names."""
    process = begin(
        """
        reporter.install()
        signal.signal(signal.SIGUSR2, lambda *_: log("theirs"))
        ready()
        wait()
        """
    )
    done = doctor("--pid", process.pid, "--timeout", "0.5")
    assert done.returncode == 1
    assert "replaced the signal's handler, or blocks the signal" in " ".join(done.stdout.split())
    assert finish(process) == ["theirs"]

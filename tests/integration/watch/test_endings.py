"""How the command ends when it can't listen or can't write: a status and a line, no traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

from opentelemetry.instrumentation.gluellm.cli.main import EXIT_BROKEN_PIPE
from support.watching import COMMAND, environment

WATCH = [*COMMAND, "watch", "--port", "0"]


@pytest.mark.parametrize("host", ["..", "a" * 80], ids=["dots", "long label"])
def test_a_host_that_can_be_no_name_is_told(host):
    """It fails before anybody is asked about it."""
    done = subprocess.run(
        [*WATCH, "--host", host],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(),
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"gluellm-pools watch: {host} can't be the name or address of a machine.\n"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is full")
def test_a_full_disk_is_told():
    """Status 2 and why, where the output goes to a file."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            WATCH,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            env=environment(),
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == (
        "gluellm-pools watch: can't write the output: No space left on device.\n"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_a_reader_that_left_ends_it_as_any_command():
    """As with `| head -1`: the status that the shell gives to a command that a pipe ended."""
    watch = subprocess.Popen(
        [*WATCH, "--seconds", "30"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert watch.stdout is not None
    watch.stdout.close()
    _, said = watch.communicate(timeout=25)
    assert (watch.returncode, said) == (EXIT_BROKEN_PIPE, "")

"""The doctor and processes of different users do not use each other's files or signals.

The tests change their user, which only root can do.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .answering import FINE, NOBODY, USUAL, doctor_of, files_in, finish, next_line

pytestmark = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user"
)
AS_NOBODY = f"become({NOBODY}); {USUAL}"


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory like /tmp: all users can create files, but only remove their own."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o1777)
    monkeypatch.setenv("TMPDIR", str(made))
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize(
    ("whose", "asker", "message"),
    [
        (AS_NOBODY, None, f"belongs to the user {NOBODY}, and you are 0"),
        (USUAL, NOBODY, f"belongs to the user 0, and you are {NOBODY}"),
    ],
    ids=["root asks nobody's", "nobody asks root's"],
)
def test_process_of_another_user_gets_no_signal(place, begin, whose, asker, message):
    """The doctor leaves no files."""
    process = begin(whose)
    owner = NOBODY if asker is None else 0
    done = doctor_of(asker, place, "--pid", process.pid)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert files_in(place) == [f"gluellm-pools-{owner}"]
    assert finish(process) == []


def test_a_user_asks_a_process_of_their_own(place, begin):
    """Only the user has access to the files. After the process, only an empty directory is left."""
    process = begin(AS_NOBODY)
    private = place / f"gluellm-pools-{NOBODY}"
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert private.stat().st_uid == NOBODY
    entry = private / f"{process.pid}.json"
    assert (stat.S_IMODE(entry.stat().st_mode), entry.stat().st_uid) == (0o600, NOBODY)
    done = doctor_of(NOBODY, place, "--pid", process.pid)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(FINE.format(process.pid))
    assert files_in(private) == [entry.name]
    assert finish(process) == []
    assert not files_in(private)


def plant(kind: str, path: Path, place: Path) -> None:
    """Create a file of the user nobody at the path of root's directory."""
    mine = place / "mine"
    mine.mkdir(mode=0o777)
    if kind == "directory":
        path.mkdir()
        path.chmod(0o700)
    elif kind == "open directory":
        path.mkdir()
        path.chmod(0o777)
    elif kind == "link to a directory":
        path.symlink_to(mine)
    elif kind == "link to a private directory":
        place.chmod(0o777)  # else the kernel would not follow the link
        (place / "private").mkdir(mode=0o700)
        path.symlink_to(place / "private")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_text("")
        if kind == "hard link":
            path.unlink()
            (mine / "file").write_text("")
            os.link(mine / "file", path)
    for one in (mine, path):
        os.chown(one, NOBODY, NOBODY, follow_symlinks=False)


KINDS = [
    "directory",
    "open directory",
    "link to a directory",
    "link to a private directory",
    "pipe",
    "hard link",
]


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_another_user_are_not_used(doctor, place, begin, kind):
    """They are not followed, opened or written. The reports are still logged."""
    path = place / "gluellm-pools-0"
    plant(kind, path, place)
    process = begin(USUAL, until="")
    line = next_line(process)
    assert line.startswith("Reports on SIGUSR2 go to the log only"), line
    assert str(path) in line
    done = doctor("--pid", process.pid)
    assert done.returncode == 2
    assert "can't be inspected" in done.stderr
    assert str(path) in done.stderr
    assert "Traceback" not in done.stderr
    if path.is_dir():
        assert not files_in(path)
    assert finish(process) == ["ready"]


def test_replaced_report_directory_is_not_used(doctor, place, begin):
    """Other users can replace it in a shared directory without the sticky bit."""
    place.chmod(0o777)
    process = begin(USUAL)
    ours, moved = place / "gluellm-pools-0", place / "moved"
    ours.rename(moved)
    plant("directory", ours, place)
    (ours / f"{process.pid}.json").write_text((moved / f"{process.pid}.json").read_text())
    done = doctor("--pid", process.pid)
    assert done.returncode == 2
    assert "belongs to, or is open to, another user" in done.stderr
    assert finish(process) == []
    assert files_in(moved) == [f"{process.pid}.json"]
    assert files_in(ours) == [f"{process.pid}.json"]


def test_pid_1_gets_no_signal(doctor, place):
    """Its own user gets no answer, and another user is refused."""
    done = doctor_of(NOBODY, place, "--pid", 1)
    assert done.returncode == 2
    assert "process 1 belongs to the user 0" in done.stderr
    done = doctor("--pid", 1)
    assert done.returncode == 2
    assert "process 1 (" in done.stderr
    assert "handles no signal for reports" in done.stderr
    assert not files_in(place)


def test_files_are_private_with_any_umask(place, begin):
    """Only the owner has access."""
    process = begin(f"os.umask(0); {AS_NOBODY}", until="")
    private = place / f"gluellm-pools-{NOBODY}"
    assert next_line(process) == "ready"
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert stat.S_IMODE((private / f"{process.pid}.json").stat().st_mode) == 0o600
    done = doctor_of(NOBODY, place, "--pid", process.pid, before="import os; os.umask(0)")
    assert done.returncode == 0, done.stderr
    finish(process)

"""``doctor FILE``: saved snapshots are judged."""

import gzip
import io
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from gluellm_diagnosis import diagnose as diagnosis
from gluellm_diagnosis.report import report_on
from gluellm_pools import main as command
from gluellm_pools.doctor import files
from gluellm_pools.doctor.files import save
from unit.gluellm_diagnosis.building import (
    a_pool,
    a_request,
    a_snapshot,
    an_account,
    of_calls,
    the_calls,
)

LEAKING = a_snapshot((), a_pool([a_request("unread", 99.0, leak_suspected=True)]))
HEALTHY = a_snapshot()


def saved(folder: Path, snapshot=LEAKING, name: str = "s.json") -> str:
    """The name of a file with a snapshot."""
    save(snapshot.to_dict(), folder / name)
    return str(folder / name)


def doctor(capsys, *arguments: str) -> tuple[int, str, str]:
    """Status, output and errors of the doctor."""
    capsys.readouterr()
    status = command.main(["doctor", *arguments])
    return status, *capsys.readouterr()


@pytest.mark.parametrize("name", ["s.json", "s.json.gz"])
def test_saved_snapshot_is_judged(name, tmp_path, capsys):
    """The report and the exit status are the process's own."""
    status, output, _ = doctor(capsys, saved(tmp_path, LEAKING, name))
    assert (status, output) == (1, f"{report_on(LEAKING, None)}\n")
    status, output, _ = doctor(capsys, saved(tmp_path, HEALTHY, name))
    assert (status, output.splitlines()[0]) == (0, "no problem found")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_snapshot_is_read_from_standard_input(pack, monkeypatch, capsys):
    data = io.BytesIO(pack(json.dumps(LEAKING.to_dict()).encode()))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=data))
    assert doctor(capsys, "-")[:2] == (1, f"{report_on(LEAKING, None)}\n")


def test_options_may_follow_the_file(tmp_path, capsys):
    """The report as JSON is that of ``--pid``, with the answers to further questions."""
    status, output, _ = doctor(capsys, saved(tmp_path), "--json", "--workers", "2")
    report = report_on(LEAKING, None).to_dict()
    found = json.loads(output)
    assert (status, found["snapshot"]) == (1, report["snapshot"])
    assert found["findings"][: len(report["findings"])] == report["findings"]
    assert "capacity for 2 workers" in found["text"]


def test_two_snapshots_of_a_process_are_compared(tmp_path, capsys):
    minutes = [of_calls(50)] * 10
    before = a_snapshot(**an_account(*minutes))
    after = a_snapshot(**an_account(*minutes, of_calls(50, errors={"503": 40})))
    names = [saved(tmp_path, before, "before.json"), saved(tmp_path, after, "after.json.gz")]
    assert doctor(capsys, *names)[:2] == (1, f"{report_on(after, before)}\n")


BEFORE = replace(LEAKING, taken_at=LEAKING.taken_at - 50, uptime=LEAKING.uptime - 50)


@pytest.mark.parametrize(
    ("before", "message"),
    [
        (replace(BEFORE, process=replace(BEFORE.process, pid=18)), "are of two processes"),
        (replace(BEFORE, taken_at=BEFORE.taken_at - 4000), "are of two processes"),
        (LEAKING, "give BEFORE, then AFTER"),
    ],
)
def test_two_snapshots_that_cannot_be_compared_are_refused(before, message, tmp_path, capsys):
    """In containers, different processes have the same PID."""
    names = [saved(tmp_path, before, "before.json"), saved(tmp_path, LEAKING, "after.json")]
    status, output, errors = doctor(capsys, *names)
    assert (status, output, len(errors.splitlines())) == (2, "", 1)
    assert message in errors


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "can't read {}: No such file or directory"),
        (b"", "{} is no snapshot that can be judged: it is empty"),
        (b'{"format": 1, "upti', "{} is no snapshot that can be judged: it is not JSON, or cut"),
        (b'{"findings": []}', "judged: format: expected a whole number, found nothing"),
        (b'{"format": 3, "version": "9.0"}', "written by version 9.0, format 3; this doctor reads"),
        (b"\x7fELF\xff", "{} is no snapshot that can be judged: it is not text"),
        (gzip.compress(b" " * 2**27), "{} is no snapshot that can be judged: it has more than 64"),
    ],
    ids=["missing", "empty", "cut", "foreign", "newer", "binary", "huge"],
)
def test_file_that_is_no_snapshot_is_refused_in_one_line(content, message, tmp_path, capsys):
    file = tmp_path / "s.json"
    if content is not None:
        file.write_bytes(content)
    status, output, errors = doctor(capsys, str(file))
    assert (status, output, len(errors.splitlines())) == (2, "", 1)
    assert message.format(file) in errors


def test_folder_is_refused_in_one_line(tmp_path, capsys):
    assert doctor(capsys, str(tmp_path)) == (
        2,
        "",
        f"gluellm-pools doctor: can't read {tmp_path}: Is a directory\n",
    )


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no such rights here")
def test_file_without_the_right_to_read_is_refused_in_one_line(tmp_path, capsys, monkeypatch):
    """Root may read everything, so the system's answer is the test's here."""
    name = saved(tmp_path)
    if os.geteuid():
        Path(name).chmod(0)
    else:

        def refused(*_):
            raise PermissionError(13, "Permission denied", name)

        monkeypatch.setattr(Path, "open", refused)
    errors = f"gluellm-pools doctor: can't read {name}: Permission denied\n"
    assert doctor(capsys, name) == (2, "", errors)


def test_snapshot_that_no_process_can_have_is_refused_in_one_line(tmp_path, capsys):
    """The types are right, but the recorded times have a length that none can have."""
    name = saved(tmp_path, replace(LEAKING, pools=(replace(LEAKING.pools[0], leases="QUJD"),)))
    status, output, errors = doctor(capsys, name, "--what-if", "traffic=2")
    assert (status, output, len(errors.splitlines())) == (2, "", 1)
    assert "the snapshot can't be judged" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "b", "c"], "give one file, or two of one process"),
        (["a", "--pid", "1"], "give either --pid N, --instance ID, a file or a program"),
        (["a", "--", "python"], "give either --pid N, --instance ID, a file or a program"),
        (["a", "--for", "1"], "--for, --timeout and --save need --pid"),
        (["a", "--save", "{}/b"], "--for, --timeout and --save need --pid"),
        (["--pid", "1", "--save", "{}"], "can't write"),
        (["--pid", "2147483647", "--save", "{}/b"], "there is no process 2147483647"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(arguments, message, tmp_path, capsys):
    try:
        status = command.main(["doctor", *(one.format(tmp_path) for one in arguments)])
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    assert message in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]  # no empty file that looks like a snapshot


def test_rule_that_raises_is_one_line_and_leaves_the_other_findings(tmp_path, capsys, monkeypatch):
    """The line is the same for all rules that raise this exception."""
    files._say_once.cache_clear()
    slow = [row._replace(find=lambda *_, **__: {}[0]) for row in diagnosis.OF_CALLS]
    monkeypatch.setattr(diagnosis, "OF_CALLS", slow)
    calls = a_snapshot((), LEAKING.pools[0], calls=(the_calls(), the_calls(provider="groq")))
    status, output, errors = doctor(capsys, saved(tmp_path, calls))
    assert (status, output.splitlines()[0][:12]) == (1, "WARNING: lea")
    assert errors == (
        "gluellm-pools doctor: a rule failed with KeyError: its finding may be missing\n"
    )

"""Arguments of the command, and messages for wrong ones."""

import io
import os
import signal
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from gluellm_pools import main as command
from gluellm_pools.doctor import ask
from gluellm_pools.doctor.inquiry import FINE

VERIFY = ("verify", "--prometheus", "http://h")
ACTS = (
    "healthy saturated slow rate-limited stalled-stream churn leak http2-stuck blocked-loop "
    "failures"
).split()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--all", "--list"], "not allowed with"),
        *((["watch", "--port", wrong], f"'{wrong}' is not a") for wrong in ("-1", "http", "70000")),
        (["watch", "--port", "\u0664\u0663\u0661\u0668"], "a port from 1 to 65535"),
        *((["watch", "--for", wrong], "a time from 1ms to 30d") for wrong in ("0", "31d", "-1")),
        *((["watch", "--seconds", wrong], f"'{wrong}' is not a") for wrong in ("nan", "soon")),
        (["watch", "more"], "error: unrecognized arguments: more"),
        (["doctor", "--pid", "1", "--timout=3"], "unrecognized arguments: --timout=3"),
        *((["doctor", "--for", wrong], "a time from 1ms to 1h") for wrong in ("0", "61m")),
        *(
            (["doctor", "--pid", wrong], f"'{wrong}' is not a process id")
            for wrong in ("soon", "0", "-1", "99999999999")
        ),
        (["doctor", "--pid", "2147483647"], "there is no process 2147483647"),
        (["doctor", "--pid", "1", "--timeout", "0"], "'0' is not a time from 1ms to 1h"),
        (["doctor", "--pid", "1", "--timeout", "nan"], "'nan' is not a"),
        (
            ["doctor", "--pid", "1", "--", "python"],
            "either --pid N, --instance ID, a file or a program",
        ),
        (
            ["doctor", "--pid", "1", "--what-if", "traffic=2", "--what-if", "traffic=3"],
            "--what-if has one setting twice: give each setting once",
        ),
        (["doctor", "--timeout", "9", "--", "python"], "--for, --timeout and --save need --pid"),
        (["doctor", "--json", "--", "python"], "--json needs -o FILE"),
        (["doctor", "-o", "/", "--", "python"], "can't write '/'"),
        *(
            (["doctor", *more], "--what-if and --workers need --pid, a file or a program")
            for more in (["--workers", "2"], ["--what-if", "traffic=2"])
        ),
        (["doctor", "--for", "9"], "--for, --timeout and --save need --pid"),
        (["doctor", "--pid", "1", "y"], "give either --pid N, --instance ID, a file or a program"),
        *(
            (
                ["doctor", "--pid", "1", "--what-if", wrong],
                f"{wrong!r}: allowed are max_connections=1 to 100000 and traffic=1 to 10",
            )
            for wrong in ("max_conections=4", "max_connections=0", "max_connections=100001")
        ),
        *(
            (["doctor", "--pid", "1", "--what-if", wrong], "traffic=1 to 10")
            for wrong in ("traffic=11", "traffic=two", "traffic", "=5", "max_connections=-5")
        ),
        *(
            (["doctor", "--workers", wrong], "is not a number from 1 to 10000")
            for wrong in ("0", "10001")
        ),
        *(([*VERIFY, "--window", wrong], "a time from 5m to 31d") for wrong in ("299", "32d", "x")),
        *(
            ([*VERIFY, "--timeout", wrong], "a time from 1ms to 10m")
            for wrong in ("0", "601", "nan")
        ),
        (["verify"], "required"),
        (["verify", "--prometheus", "localhost:9090"], "gluellm-pools verify: the URL must begin"),
        (["dotcor"], "unknown command 'dotcor' (did you mean doctor?)"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message, capsys):
    """The command exits with 2, and names the value and what is allowed."""
    try:
        status = command.main(arguments)
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    assert message in capsys.readouterr().err


def test_help_is_printed_without_arguments(capsys):
    with pytest.raises(SystemExit) as stop:
        command.main([])
    assert stop.value.code == 0
    assert "gluellm-pools doctor --pid 4242" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["", "demo", "watch", "doctor", "verify"])
def test_help_fits_a_terminal_of_80_columns(name, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        command.main([*([name] if name else []), "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > 80] == []


def test_scenarios_are_listed_and_an_unknown_one_is_answered_with_them(capsys):
    """Each act is a paragraph, in the story's order. An unknown act exits with 2."""
    assert command.main(["demo", "--scenario", "sunny"]) == 2
    error = capsys.readouterr().err
    assert "unknown act 'sunny'" in error
    assert ", ".join(ACTS) in error
    assert command.main(["demo", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ACTS
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(("name", "extra"), [("demo", "demo"), ("watch", "cli")])
def test_a_missing_extra_is_named(name, extra, monkeypatch, capsys):
    """The message has the missing module and the command to install it."""
    for module in ("gluellm_pools.demo.run", "gluellm_pools.screens"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "rich.live", None)
    assert command.main([name]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"gluellm-pools {name}: ")
    assert "rich.live" in error
    assert f"pip install 'opentelemetry-instrumentation-gluellm[{extra}]'" in error


def test_a_missing_dependency_is_named(monkeypatch, capsys):
    """The command was copied without what it needs. There is no traceback."""
    monkeypatch.setitem(sys.modules, "gluellm_pools.attach.command", None)
    assert command.main(["doctor", "--attach", "1"]) == 2
    assert "pip install 'opentelemetry-instrumentation-gluellm'" in capsys.readouterr().err


def test_characters_that_the_output_lacks_are_replaced(monkeypatch):
    """The terminal has ASCII only; bars keep their length."""
    report = {"text": "\u2588\u2588 4 active", "findings": [], "snapshot": None}
    answered = SimpleNamespace(report=report, error=None, rank=FINE, attempt=Mock(), close=Mock())
    monkeypatch.setattr(ask, "Inquiry", lambda _: answered)
    monkeypatch.setattr(ask, "descendants_of", lambda _: [])
    monkeypatch.setattr(ask, "_ask", Mock())
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert command.main(["doctor", "--pid", "1"]) == 0
    assert written.getvalue() == b"?? 4 active\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_output_that_can_not_be_written_is_one_line_and_exit_2(monkeypatch, capsys):
    """Also if all of it fits into the buffer, which the interpreter would write at its end."""
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert command.main(["demo", "--list"]) == 2
    assert capsys.readouterr().err == "gluellm-pools demo: stopped: No space left on device\n"


def test_missing_directory_for_temporary_files_is_named(monkeypatch, capsys, tmp_path):
    """Containers with a read-only file system have none."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    assert command.main(["doctor", "--", "true"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("gluellm-pools doctor: stopped: No such file or directory: ")
    assert error.count("\n") == 1


def test_names_of_files_reach_the_terminal_without_escapes(capsys, tmp_path):
    """A folder of boards can come from an untrusted source."""
    (tmp_path / "\x1b[2Ja.json").write_text("{")
    assert command.main([*VERIFY, "--boards", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "?[2Ja.json: it is no JSON" in error


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_end_a_command_in_order(number, monkeypatch):
    """The terminal and files are left in order, and the exit status is 128 + n."""
    monkeypatch.setattr(ask, "_ask", lambda *_: os.kill(os.getpid(), number))
    before = signal.signal(number, signal.SIG_DFL)  # nohup ignores SIGHUP
    try:
        with pytest.raises(SystemExit) as stop:
            command.main(["doctor", "--pid", "1"])
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert stop.value.code == 128 + number

"""The demo as a program of its own: its lines come true, its numbers agree, its ends are clean."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from opentelemetry.instrumentation.gluellm.cli.demo import faults

COMMAND = [sys.executable, "-m", "opentelemetry.instrumentation.gluellm.cli.main", "demo"]
TIMEOUT = 90


def environment(**more: str) -> dict[str, str]:
    """Ours, without what would change the demo."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "COLUMNS"))}
    return {**kept, "COLUMNS": "100", **more}


def demo(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        env=environment(**more),
        check=False,
    )


def closing_rows(output: str) -> dict[str, dict[str, list[int]]]:
    """The closing table's numbers, by pool and by who counted."""
    table = output[output.rindex("counted by") :]
    rows: dict[str, dict[str, list[int]]] = {}
    label = ""
    for line in table.splitlines()[2:]:
        if found := re.match(r"  (metrics|callers|provider)\s+([\d ]+)", line):
            rows[label][found[1]] = [int(number) for number in found[2].split()]
        elif line.strip() and not line.startswith(" "):
            label = line.strip()
            rows[label] = {}
        if line.startswith("Waits are"):
            break
    return rows


@pytest.mark.slow
def test_the_whole_story_comes_true_and_the_numbers_agree():
    """Every act is seen in the metrics, and three independent counts are the same."""
    done = demo("--seconds", "20")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT SEEN" not in done.stdout
    assert done.stdout.count("\nseen: ") == 9
    assert "Metrics, callers and providers agree." in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "logged meanwhile" not in done.stdout
    rows = closing_rows(done.stdout)
    labels = {"openai/httpx2", "anthropic/httpx", "openai-http2/httpx2"}
    assert labels <= rows.keys()
    for label in labels:
        sent, failed, reached, opened, reused = rows[label]["metrics"][:5]
        assert rows[label]["callers"] == [sent, failed]
        assert rows[label]["provider"] == [reached, opened, reused]
        assert sent > 20
    assert "\x1b" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["saturated", "recovery", "http2-stuck", "blocked-loop"])
def test_one_scenario_alone(scenario):
    """A single act, with what it needs before it."""
    done = demo("--seconds", "6", "--scenario", scenario)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT SEEN" not in done.stdout


@pytest.mark.slow
def test_the_shortest_story_leaves_acts_out_and_says_so():
    """What is played holds, and the numbers agree."""
    done = demo("--seconds", "6")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Left out, since they need more time: leak, http2-stuck, blocked-loop, recovery." in (
        done.stdout
    )
    assert "act 5 of 5" in done.stdout
    assert "Metrics, callers and providers agree." in done.stdout


@pytest.mark.slow
def test_a_leak_is_told_with_the_lines_that_abandoned_the_streams():
    """The warning comes in the act; so does a pool timeout that names who holds the connections."""
    done = demo("--seconds", "6", "--scenario", "leak")
    assert done.returncode == 0, done.stdout + done.stderr
    code = Path(faults.__file__).read_text().splitlines()
    warned = re.findall(
        r"logged: WARNING Connection leak .* at (\S+):(\d+) in (\S+)\)", done.stdout
    )
    assert {name for _, _, name in warned} == {
        "AbandonedStreams._never_read",
        "AbandonedStreams._break_off",
    }
    for file, line, _ in warned:
        assert file == faults.__file__
        assert "stream=True" in code[int(line) - 1]
    seen = done.stdout.index("\nseen: ")
    assert done.stdout.index("logged: WARNING Connection leak") < seen
    assert done.stdout.index("was released after all") > seen
    assert done.stdout.count("caught: openai.APITimeoutError") == 1
    note = re.search(r"its note: Connection pool openai/httpx2: max 4, active 4,.*", done.stdout)
    assert note is not None
    assert "unread for" in note[0]
    assert f"{faults.__file__}:" in note[0]
    assert "finding: ERROR: leak in openai/httpx2." in done.stdout


@pytest.mark.slow
def test_an_endpoint_where_nobody_listens_changes_nothing():
    """Exporting fails, is said once, and the demo ends as usual."""
    done = demo(
        "--seconds",
        "6",
        "--scenario",
        "healthy",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_EXPORTER_OTLP_TIMEOUT="1",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Exporting to http://127.0.0.1:9" in done.stdout
    assert "logged meanwhile" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--seconds", "60"), "openai/httpx2: active"),
        (("--scenario", "leak"), "caught: openai.APITimeoutError"),
    ],
    ids=["story", "leak"],
)
def test_ctrl_c_ends_with_the_table(arguments, line):
    """What was counted so far is shown, and what an act abandoned is given back; exit 130."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(PYTHONUNBUFFERED="1"),
    )
    assert process.stdout is not None
    while line not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert "counted by" in out
    assert "\nInterrupted. " in out
    assert "logged meanwhile" not in out
    assert err == ""


def test_a_port_in_use_is_said_plainly():
    """Exit 2, the port's number, no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = demo("--port", str(port))
    assert done.returncode == 2
    assert f"port {port} on 127.0.0.1 is in use" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("--scenario", "sunny"), ("--seconds", "0"), ("--seconds", "-5"), ("--port", "-1"), ("-x",)],
    ids=" ".join,
)
def test_bad_input_is_refused(arguments):
    """Exit 2 and a sentence, no traceback."""
    done = demo(*arguments)
    assert done.returncode == 2
    assert done.stderr.strip()
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_missing_library_is_said_plainly(tmp_path: Path):
    """Python finds no rich: the message names the extra; exit 2."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'rich':\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
    )
    done = demo("--list", PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert "rich" in done.stderr
    assert "pip install 'opentelemetry-instrumentation-gluellm[demo]'" in done.stderr
    assert "Traceback" not in done.stderr

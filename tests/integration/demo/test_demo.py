"""The demo as a program of its own: its lines come true, its numbers agree, its ends are clean.

One run of ``demo --seconds 15`` plays all acts; here they are spread over a few runs.
"""

import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gluellm_pools.demo import faults
from gluellm_pools.main import main
from support import programs
from support.watching import COMMAND, environment

TIMEOUT = 60


def ended(*command: str, **more: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        env=environment(**more),
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


def demo(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return ended(*COMMAND, "demo", *arguments, **more)


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What a demo said whose every act was seen, and whose three independent counts agree."""
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT SEEN" not in done.stdout
    assert "Metrics, callers and providers agree." in done.stdout
    assert "\x1b" not in done.stdout
    return done.stdout


def played(*scenarios: str, seconds: float, **more: str) -> str:
    """What scenarios say."""
    program = programs.demo(*scenarios, seconds=seconds)
    return said(ended(sys.executable, "-c", program, **more))


def closing_rows(output: str) -> dict[str, dict[str, list[int]]]:
    """The closing table's numbers, by pool and by who counted."""
    rows: dict[str, dict[str, list[int]]] = {}
    label = ""
    table = output[output.rindex("counted by") : output.rindex("Waits are")]
    for line in table.splitlines()[2:]:
        if found := re.match(r"  (metrics|callers|provider)\s+([\d ]+)", line):
            rows[label][found[1]] = [int(number) for number in found[2].split()]
        elif line.strip() and not line.startswith(" "):
            label = line.strip()
            rows[label] = {}
    return rows


def test_shortest_demo_shows_its_acts_and_lists_the_others():
    """Five acts are seen in the metrics, and the table has what each side counted."""
    told = said(demo("--seconds", "6"))
    missing = "leak, http2-stuck, blocked-loop, recovery."
    assert f"Left out, since they need more time: {missing}" in told
    assert "act 5 of 5" in told
    assert told.count("\nseen: ") == 5
    assert "logged meanwhile" not in told
    rows = closing_rows(told)
    labels = {"openai/httpx2", "anthropic/httpx"}
    assert labels <= rows.keys()
    for label in labels:
        sent, failed, reached, opened, reused = rows[label]["metrics"][:5]
        assert rows[label]["callers"] == [sent, failed]
        assert rows[label]["provider"] == [reached, opened, reused]
        assert sent > 20


def test_one_scenario_can_be_played_alone():
    played("http2-stuck", "blocked-loop", seconds=2.5)


def test_leak_is_logged_with_the_lines_that_abandoned_the_streams():
    """The act also logs a pool timeout that names the holders of the connections."""
    told = played("leak", seconds=5.5)
    code = Path(faults.__file__).read_text().splitlines()
    warned = re.findall(r"logged: WARNING Connection leak .* at (\S+):(\d+) in (\S+)\)", told)
    assert {name for _, _, name in warned} == {
        "AbandonedStreams._never_read",
        "AbandonedStreams._break_off",
    }
    for file, line, _ in warned:
        assert file == faults.__file__
        assert "stream=True" in code[int(line) - 1]
    assert told.index("was released after all") > told.index("\nseen: ")
    assert told.count("caught: openai.APITimeoutError") == 1
    note = re.search(r"its note: Connection pool openai/httpx2: max 4, active 4,.*", told)
    assert note is not None
    assert "unread for" in note[0]
    assert f"{faults.__file__}:" in note[0]
    assert "finding: ERROR: leak in openai/httpx2." in told


def test_unreachable_endpoint_does_not_affect_the_demo():
    """The failed export is logged once, and the demo ends as usual."""
    there = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    told = played("recovery", seconds=2.5, OTEL_EXPORTER_OTLP_TIMEOUT="1", **there)
    assert "Exporting to http://127.0.0.1:9" in told
    assert "logged meanwhile" in told


def test_ctrl_c_ends_with_the_table():
    """What was counted so far is shown, and what an act abandoned is given back; exit 130."""
    process = subprocess.Popen(
        [*COMMAND, "demo", "--scenario", "leak"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(PYTHONUNBUFFERED="1"),
    )
    assert process.stdout is not None
    while "caught: openai.APITimeoutError" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert time.monotonic() - sent < 10
    assert "counted by" in out
    assert "\nInterrupted. " in out
    assert "logged meanwhile" not in out
    assert err == ""


def test_port_in_use_exits_with_2_and_one_line():
    """Exit 2, the port's number, no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = demo("--port", str(port))
    assert done.returncode == 2
    assert f"port {port} on 127.0.0.1 is in use" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("--scenario", "sunny"), ("--seconds", "0"), ("--seconds", "-5"), ("--port", "-1"), ("-x",)],
    ids=" ".join,
)
def test_bad_input_is_refused(arguments, capsys):
    """Exit 2 and a sentence."""
    try:
        status = main(["demo", *arguments])
    except SystemExit as ended:
        status = ended.code
    out, said = capsys.readouterr()
    assert status == 2
    assert said.strip()
    assert out == ""


def test_missing_library_exits_with_2_and_names_the_extra(tmp_path):
    """Python finds no rich: the message names the extra; exit 2."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'rich':\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
    )
    done = demo("--list", PYTHONPATH=f"{tmp_path}:{environment().get('PYTHONPATH', '')}")
    assert done.returncode == 2
    assert "rich" in done.stderr
    assert "pip install 'opentelemetry-instrumentation-gluellm[demo]'" in done.stderr

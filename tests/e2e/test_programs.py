"""The programs themselves: start, restart, end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from support.waiting import wait_until

from . import running
from .programs import Prometheus, Stack, StartError, find


def test_all_programs_start_on_ports_of_their_own_and_answer(stack: Stack) -> None:
    """Every program says that it is healthy, and the stores answer a query."""
    stack.start()
    assert all(program.healthy() for program in stack.programs)
    stores = (stack.prometheus_scraping, stack.prometheus_otlp, stack.victoria_metrics)
    for store in stores:
        assert [row["value"][1] for row in store.query("vector(7)")] == [7.0]


def test_the_scraping_prometheus_scrapes_the_collector(stack: Stack) -> None:
    """The target of the users' job `collector` is up, at an interval of the test's."""
    stack.start("prometheus_scraping", "collector")
    query = 'up{job="collector"} == 1'
    wait_until(lambda: stack.prometheus_scraping.query(query), "the Collector is scraped")


def test_a_killed_program_comes_back_on_its_ports(stack: Stack) -> None:
    """After SIGKILL `start` gives the same program, with the same address."""
    stack.start("prometheus_otlp")
    before = stack.prometheus_otlp.url
    stack.prometheus_otlp.kill()
    assert not stack.prometheus_otlp.healthy()
    stack.prometheus_otlp.start()
    assert stack.prometheus_otlp.url == before
    assert stack.prometheus_otlp.healthy()


def test_a_port_that_was_taken_before_the_start_is_replaced(stack: Stack, tmp_path: Path) -> None:
    """A program is never taken for another one that answers on its port."""
    stack.start("prometheus_otlp")
    late = Prometheus("late", tmp_path)
    taken = late.ports["http"] = stack.prometheus_otlp.ports["http"]
    try:
        late.start()
        assert late.ports["http"] != taken
        assert late.query("vector(1)")
    finally:
        late.stop()


def test_a_port_that_was_taken_during_the_start_is_replaced(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that can't bind its port is started once more, on another one."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = stack.prometheus_otlp.ports["http"] = other.getsockname()[1]
        monkeypatch.setattr(running, "is_free", lambda port: True)
        stack.start("prometheus_otlp")
    assert stack.prometheus_otlp.ports["http"] != taken
    assert "address already in use" in stack.prometheus_otlp.log.read_text()


def test_a_failed_start_shows_the_log(stack: Stack) -> None:
    """What the program said about its configuration is in the error."""
    stack.prometheus_otlp.configuration.write_text("no_such_section: {}\n")
    with pytest.raises(StartError, match="no_such_section"):
        stack.start("prometheus_otlp")


def test_a_missing_program_skips_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the program the test is skipped, and with REQUIRE_E2E=1 it fails."""
    monkeypatch.delenv("REQUIRE_E2E", raising=False)
    with pytest.raises(pytest.skip.Exception, match="make e2e-tools"):
        find("no-such-program")
    monkeypatch.setenv("REQUIRE_E2E", "1")
    with pytest.raises(pytest.fail.Exception, match="make e2e-tools"):
        find("no-such-program")


def test_programs_die_with_a_test_run_that_is_killed(tmp_path: Path) -> None:
    """Even SIGKILL of the test run leaves no program behind."""
    find("prometheus")
    script = """
        import sys, time
        from pathlib import Path
        from e2e.programs import Stack
        stack = Stack(Path(sys.argv[1]))
        stack.start("prometheus_otlp")
        print(stack.prometheus_otlp.pid, flush=True)
        time.sleep(600)
    """
    tests = str(Path(__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "stack")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": tests},
    ) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        assert _lives(pid)
        run.send_signal(signal.SIGKILL)
    wait_until(lambda: not _lives(pid), "the program is gone")


def _lives(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"

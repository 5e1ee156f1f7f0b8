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
from .compose import DEV
from .programs import Alertmanager, Prometheus, Stack, StartError, find


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


def test_an_alert_of_a_rule_file_reaches_alertmanager(stack: Stack, tmp_path: Path) -> None:
    """Prometheus evaluates what it was given and sends it to the address of a file."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "groups: [{name: always, interval: 1h,"
        " rules: [{alert: Always, expr: vector(1), labels: {severity: info}}]}]"
    )
    configuration = DEV / "alertmanager/alertmanager.yaml"
    alertmanager = Alertmanager("alertmanager", tmp_path, configuration)
    alertmanager.start()
    try:
        store = stack.prometheus_otlp
        store.load_rules(rules)
        store.alert(alertmanager)
        stack.start("prometheus_otlp")
        wait_until(lambda: alertmanager.alerts('severity="info"'), "the alert is there")
        (alert,) = alertmanager.alerts()
        assert alert["labels"]["alertname"] == "Always"
        assert alert["status"]["state"] == "active"
        assert alertmanager.alerts('severity="page"') == []
        assert [one["state"] for one in store.alerts()] == ["firing"]
    finally:
        alertmanager.stop()


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


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache with nothing in it, and no program on PATH."""
    monkeypatch.setenv("GLUELLM_E2E_TOOLS", str(tmp_path / "tools"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("REQUIRE_E2E", raising=False)
    return tmp_path / "tools"


def test_a_missing_program_skips_with_the_command_that_brings_it(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the program the test is skipped, and with REQUIRE_E2E=1 it fails."""
    with pytest.raises(pytest.skip.Exception, match="make e2e-tools"):
        find("prometheus")
    monkeypatch.setenv("REQUIRE_E2E", "1")
    with pytest.raises(pytest.fail.Exception, match="make e2e-tools"):
        find("prometheus")


def test_only_the_pinned_program_will_do_where_programs_are_required(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody knows the version of is good enough elsewhere."""
    program = empty_cache / "bin" / "prometheus"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find("prometheus") == program
    monkeypatch.setenv("REQUIRE_E2E", "1")
    with pytest.raises(pytest.fail.Exception, match="no pinned prometheus"):
        find("prometheus")


def test_without_programs_a_replay_is_skipped(empty_cache: Path) -> None:
    """A missing program is neither a failure nor an error."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/e2e/test_incidents.py", "-p", "no:cacheprovider"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    assert "4 skipped" in run.stdout


@pytest.mark.parametrize(("require", "skipped"), [("", True), ("1", False)])
@pytest.mark.parametrize(
    ("package", "name"),
    [("any_llm", "verify/test_good.py"), ("opentelemetry.distro", "zero_code/test_zero_code.py")],
    ids=["a file", "its tests"],
)
def test_nothing_is_skipped_where_programs_are_required(
    package: str, name: str, require: str, skipped: bool
) -> None:
    """A missing package fails as well."""
    hiding = f"import sys; sys.modules[{package!r}] = None; import pytest; sys.exit(pytest.main())"
    file = Path(__file__).parent / name
    run = subprocess.run(
        [sys.executable, "-c", hiding, str(file), "-p", "no:cacheprovider"],
        env={**os.environ, "REQUIRE_E2E": require},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (" skipped in " in run.stdout) is skipped, run.stdout
    assert ("would be skipped" in run.stdout) is not skipped, run.stdout


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

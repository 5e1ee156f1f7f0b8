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


def pytest_of(*files: str, without: str = "none", **variables: str) -> tuple[int, str]:
    """The status and the output of a run of files, without a package."""
    hiding = f"import sys; sys.modules[{without!r}] = None; import pytest; sys.exit(pytest.main())"
    here = Path(__file__).parent
    finished = subprocess.run(
        [sys.executable, "-c", hiding, *(str(here / name) for name in files)],
        env={**os.environ, "PYTEST_ADDOPTS": "-p no:cacheprovider", **variables},
        cwd=here.parents[1],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return finished.returncode, finished.stdout + finished.stderr


def test_without_programs_nothing_fails(empty_cache: Path) -> None:
    """Fixtures need them too, and those of a whole file."""
    files = ("deployment/test_workers.py", "test_arrival.py", "test_incidents.py", "boards")
    status, said = pytest_of(*files)
    assert status == 0, said
    assert " skipped" in said


def test_where_programs_are_required_one_line_says_what_brings_them(empty_cache: Path) -> None:
    status, said = pytest_of("test_arrival.py", REQUIRE_E2E="1")
    assert status == pytest.ExitCode.USAGE_ERROR
    (line,) = (line for line in said.splitlines() if "make e2e-tools" in line)
    assert "prometheus, promtool, otelcol-gluellm, victoria-metrics, vmalert, alertm" in line


def test_a_missing_package_fails_where_programs_are_required() -> None:
    find("prometheus")
    package = "opentelemetry.distro"
    status, said = pytest_of("deployment/test_zero_code.py", without=package, REQUIRE_E2E="1")
    assert status == pytest.ExitCode.INTERRUPTED
    assert "would be skipped" in said, said


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

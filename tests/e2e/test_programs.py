"""What a test run does where programs or packages are missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .running import find


def run_pytest(*files: str, without: str = "none", **variables: str) -> tuple[int, str]:
    """Exit status and output of a run of test files, without a package."""
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


def test_tests_without_their_programs_are_skipped(tmp_path: Path) -> None:
    """Also those whose fixture starts the programs for a whole file or folder."""
    nowhere = {"GLUELLM_E2E_TOOLS": str(tmp_path), "PATH": str(tmp_path), "REQUIRE_E2E": ""}
    status, said = run_pytest("deployment/test_workers.py", "test_arrival.py", "boards", **nowhere)
    assert status == 0, said
    assert " skipped" in said


def test_missing_programs_end_a_run_that_requires_them(tmp_path: Path) -> None:
    """A program that is not the pinned one counts as missing. One line names the command."""
    program = tmp_path / "bin" / "prometheus"
    program.parent.mkdir()
    program.touch(mode=0o755)
    nowhere = {"GLUELLM_E2E_TOOLS": str(tmp_path), "REQUIRE_E2E": "1"}
    status, said = run_pytest("test_arrival.py", **nowhere)
    assert status == pytest.ExitCode.USAGE_ERROR
    (line,) = (line for line in said.splitlines() if "make e2e-tools" in line)
    assert "prometheus, promtool, otelcol-gluellm, victoria-metrics, vmalert, alertm" in line


def test_a_missing_package_fails_a_run_that_requires_the_programs() -> None:
    find("prometheus")
    status, said = run_pytest("deployment/test_workers.py", without="any_llm", REQUIRE_E2E="1")
    assert status == pytest.ExitCode.INTERRUPTED
    assert "would be skipped" in said, said

"""What each alert says of the cases that were thought of, by Prometheus' own evaluation."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ..running import find

PROMETHEUS = Path(__file__).parents[3] / "dashboards" / "prometheus"
_MOST_SECONDS = 180


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end, whatever its status."""
    return subprocess.run(
        [str(program), *arguments],
        capture_output=True,
        text=True,
        timeout=_MOST_SECONDS,
        check=False,
    )


def promtool(*arguments: str) -> str:
    """What it prints. Fails the test when it ends with another status than 0."""
    done = run(find("promtool"), *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_rules_are_without_fault() -> None:
    """Prometheus takes them, and finds nothing doubled."""
    files = [str(file) for file in sorted(PROMETHEUS.glob("*.yaml"))]

    assert len(files) == 2
    promtool("check", "rules", "--lint=all", "--lint-fatal", *files)


@pytest.mark.parametrize(
    "file", sorted((PROMETHEUS / "tests").glob("*.yaml")), ids=lambda f: f.stem
)
def test_rules_say_what_they_should_and_nothing_else(file: Path) -> None:
    """The cases are in gluellm_dashboards/rules/cases."""
    assert "SUCCESS" in promtool("test", "rules", str(file))

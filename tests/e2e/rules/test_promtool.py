"""Prometheus decides each alert's cases as expected."""

from pathlib import Path

import pytest

from ..files import RULES
from ..running import succeed
from .deciding import decided, group_of_alerts


def test_promtool_accepts_the_rules() -> None:
    """It finds no error and no duplicate."""
    files = sorted(RULES.glob("*.yaml"))
    assert len(files) == 2
    succeed("promtool", "check", "rules", "--lint=all", "--lint-fatal", *files)


RECORDING, *ALERTS = sorted(
    (file.stem for file in (RULES / "tests").glob("*.yaml")), key=lambda name: name != "recording"
)


def test_recorded_series_are_as_expected() -> None:
    assert "SUCCESS" in succeed("promtool", "test", "rules", RULES / "tests" / f"{RECORDING}.yaml")


@pytest.mark.parametrize("name", ALERTS)
def test_alerts_fire_only_as_their_cases_expect(name: str, tmp_path: Path) -> None:
    """The cases are in gluellm_dashboards/rules/cases."""
    finished = decided(group_of_alerts()["rules"], name, tmp_path)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "SUCCESS" in finished.stdout

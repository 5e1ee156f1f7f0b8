"""Grafana's own types accept each board, on the line of now and on the one before."""

import json
from pathlib import Path

import pytest

from e2e.running import find

from .checking import LINES, check

GRAFANA = Path(__file__).parents[3] / "dashboards" / "grafana"


@pytest.mark.parametrize("line", LINES)
def test_grafana_s_types_accept_each_board(line: str, tmp_path: Path) -> None:
    """Every option of every panel is one that this line has, of a type that it takes."""
    files = sorted(GRAFANA.glob("*.json"))
    boards = {file.stem.replace("-", "_"): json.loads(file.read_text()) for file in files}
    assert len(boards) == 4
    assert check(boards, line, find("grafana-schema"), tmp_path) == {name: [] for name in boards}

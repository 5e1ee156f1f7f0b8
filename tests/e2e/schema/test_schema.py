"""Grafana's own types accept each board, on the line of now and on the one before."""

from pathlib import Path

import pytest

from e2e.files import boards
from e2e.running import find

from .checking import LINES, check


@pytest.mark.parametrize("line", LINES)
def test_grafana_s_types_accept_each_board(line: str, tmp_path: Path) -> None:
    """Every option of every panel is one that this line has, of a type that it takes."""
    found = {uid.replace("-", "_"): board for uid, board in boards().items()}
    assert check(found, line, find("grafana-schema"), tmp_path) == {name: [] for name in found}

"""The boards match Grafana's types, of the current release line and the one before."""

from pathlib import Path

import pytest

from e2e.files import boards
from e2e.running import find

from .checking import LINES, check


@pytest.mark.parametrize("line", LINES)
def test_grafana_s_types_accept_each_board(line: str, tmp_path: Path) -> None:
    """All options of all panels exist in this release line, with the right types."""
    found = {uid.replace("-", "_"): board for uid, board in boards().items()}
    assert check(found, line, find("grafana-schema"), tmp_path) == {name: [] for name in found}

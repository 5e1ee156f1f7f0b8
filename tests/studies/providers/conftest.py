"""What the census needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.listener import Listen
from support.network import Certificates

from .seeing import Fakes


@pytest.fixture
def fakes(listen: Listen, certificates: Certificates, tmp_path: Path) -> Fakes:
    """The fake providers, closed again when the test is over."""
    return Fakes(listen, certificates, tmp_path)

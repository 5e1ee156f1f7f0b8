"""What tests of pools, diagnosis and telemetry begin with."""

import pytest

from unit.pool.fakes import Scene


@pytest.fixture
def scene() -> Scene:
    """One pool on a fake clock."""
    return Scene()

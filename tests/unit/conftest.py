"""Fixtures for tests of pools, diagnosis and telemetry."""

import pytest

from unit.pool.fakes import Scene


@pytest.fixture
def scene() -> Scene:
    """One pool on a fake clock."""
    return Scene()

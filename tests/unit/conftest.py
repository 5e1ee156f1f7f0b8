"""Fixtures for the unit tests."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(scope="session", autouse=True)
def imported_modules_are_not_collected() -> None:
    """Collections are cheap: what was imported before the first test takes no part in them."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def anyio_backend() -> str:
    """Coroutines that are tests run on asyncio."""
    return "asyncio"

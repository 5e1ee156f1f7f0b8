"""Garbage collections are cheap: what was imported before the first test takes no part in them."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(scope="session", autouse=True)
def imported_modules_are_not_collected() -> None:
    gc.collect()
    gc.freeze()

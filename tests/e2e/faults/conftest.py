"""One stage for the faults of a file: starting it takes longer than a fault."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("any_llm")
pytest.importorskip("openai")

from e2e.programs import Stack

from .playing import Stage


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The stores, a provider, and a program without telemetry to compare with."""
    folder: Path = tmp_path_factory.mktemp("faults")
    with Stage(Stack(folder / "stack"), folder) as stage:
        yield stage


@pytest.fixture
def quiet_stage(tmp_path: Path) -> Iterator[Stage]:
    """The same where nothing is compared with a program without telemetry."""
    with Stage(Stack(tmp_path / "stack"), tmp_path, compared=False) as stage:
        yield stage

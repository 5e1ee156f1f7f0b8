"""Run programs that would affect the test process in their own processes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from support.programs import Finished, run_program

PROGRAMS = Path(__file__).with_name("programs")


Run = Callable[..., Finished]


@pytest.fixture
def run() -> Run:
    """Run one of the programs in its own process. A hang is a failure."""
    return lambda name, *arguments, **further: run_program(PROGRAMS / name, *arguments, **further)

"""The instrumentation in this process, and programs of their own process, for the host's sake."""

from collections.abc import Callable
from pathlib import Path

import pytest

from support.programs import Finished, run_program

PROGRAMS = Path(__file__).with_name("programs")


Run = Callable[..., Finished]


@pytest.fixture
def run() -> Run:
    """Run one of the programs in a process of its own. A hang is a failure."""
    return lambda name, *arguments, **further: run_program(PROGRAMS / name, *arguments, **further)

"""The instrumentation in this process, and programs of their own process, for the host's sake."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from support.programs import Finished, run_program

PROGRAMS = Path(__file__).with_name("programs")


@pytest.fixture(autouse=True)
def no_call() -> Iterator[None]:
    """What an interrupted call left in the context has ended. Other tests ask for none at all."""
    yield
    current_call.set(None)


Run = Callable[..., Finished]


@pytest.fixture
def run() -> Run:
    """Run one of the programs in a process of its own. A hang is a failure."""
    return lambda name, *arguments, **further: run_program(PROGRAMS / name, *arguments, **further)

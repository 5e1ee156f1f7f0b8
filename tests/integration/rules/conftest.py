"""Fixtures: libraries, runners, and scripts in their own processes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.clients import Runner
from support.libraries import Library
from support.programs import run_program

SCRIPTS = Path(__file__).with_name("scripts")

BOTH = pytest.mark.parametrize("library", ["httpx", "httpx2"], indirect=True)
"""For tests of details in which httpcore and httpcore2 differ."""


@pytest.fixture(params=["httpx2"])
def library(request: pytest.FixtureRequest) -> Library:
    """The library of openai's SDK, unless a test chooses others."""
    return Library.load(request.param)


@pytest.fixture(params=["sync", "asyncio"])
def runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """Threads for sync pools, or an event loop for async ones."""
    with Runner.start(request.param) as runner:
        yield runner


@pytest.fixture
def threads() -> Iterator[Runner]:
    """Threads, for tests in which sync and async make no difference."""
    with Runner.start("sync") as runner:
        yield runner


Run = Callable[..., str]


@pytest.fixture
def run() -> Run:
    """Run one of the scripts in its own process, and return its output."""

    def run_script(name: str, *arguments: str, **environment: str) -> str:
        finished = run_program(SCRIPTS / name, *arguments, **environment)
        assert finished.status == 0, finished.out + finished.err
        return finished.out

    return run_script

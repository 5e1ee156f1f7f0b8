"""Providers in memory, and the instrumentation on and off, for the rules that were learned."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.clients import Runner
from support.libraries import Library
from support.programs import run_program

SCRIPTS = Path(__file__).with_name("scripts")

BOTH = pytest.mark.parametrize("library", ["httpx", "httpx2"], indirect=True)
"""For what rests on the insides of httpcore, which differ from httpcore2's."""


@pytest.fixture(params=["httpx2"])
def library(request: pytest.FixtureRequest) -> Library:
    """The one of openai's SDK, unless a test is for others."""
    return Library.load(request.param)


@pytest.fixture(params=["sync", "asyncio"])
def runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """Threads for the sync pools, or an event loop for the async ones."""
    with Runner.start(request.param) as runner:
        yield runner


@pytest.fixture
def threads() -> Iterator[Runner]:
    """Threads only, where sync and async are the same to the rule."""
    with Runner.start("sync") as runner:
        yield runner


Run = Callable[..., str]


@pytest.fixture
def run() -> Run:
    """Run one of the scripts in a process of its own, and return what it printed."""

    def run_script(name: str, *arguments: str, **environment: str) -> str:
        finished = run_program(SCRIPTS / name, *arguments, **environment)
        assert finished.status == 0, finished.out + finished.err
        return finished.out

    return run_script

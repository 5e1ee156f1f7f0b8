"""Run the demo once for all tests of the boards."""

from collections.abc import Iterator

import pytest

from .playing import Story, played
from .recording import record


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The demo's run, with the stores that have its data."""
    pytest.importorskip("any_llm")
    with played(tmp_path_factory.mktemp("boards")) as story:
        record(story)
        yield story

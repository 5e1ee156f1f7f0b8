"""The demo, played once for all tests of the boards."""

from collections.abc import Iterator

import pytest

from .playing import Story, played
from .recording import record


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """What was played, with the stores that it went to."""
    pytest.importorskip("any_llm")
    with played(tmp_path_factory.mktemp("boards")) as story:
        record(story)
        yield story

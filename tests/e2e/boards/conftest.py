"""The demo, played once in each scope for all tests of the boards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .playing import Story, arrived, played
from .recording import record


@pytest.fixture(scope="session", params=["any_llm", "all"])
def story(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Story]:
    """What was played, with the stores that it went to.

    With ``scope="all"`` the boards show the same, though the demo exports through pools too.
    """
    pytest.importorskip("any_llm")
    with played(tmp_path_factory.mktemp("boards"), request.param) as story:
        arrived(story)
        record(story)
        yield story

"""The one run that all tests of arrival look at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .run import Run, run


@pytest.fixture(scope="module")
def arrival(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Two programs, one per protocol, after their end; the stores can still be asked."""
    with run(tmp_path_factory.mktemp("arrival")) as finished:
        yield finished

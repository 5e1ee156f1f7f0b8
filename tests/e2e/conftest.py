"""Fixtures of the end-to-end tests: programs and a provider, on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from opentelemetry.instrumentation.gluellm.cli.fake_provider import (
    FakeProvider,
    FakeProviderThread,
)

from .programs import Stack


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Programs to be started by the test, for it alone; what runs is stopped in the end."""
    stack = Stack(tmp_path / "stack")
    try:
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All programs, started once for the tests of a file."""
    stack = Stack(tmp_path_factory.mktemp("stack"))
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """A fake LLM provider behind a thread."""
    with FakeProviderThread() as provider:
        yield provider

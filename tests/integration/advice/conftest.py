"""Fixtures: a fake provider, and the instrumentation of all pools."""

from collections.abc import Iterator

import pytest

from gluellm_pools.fake_provider import FakeProvider, FakeProviderThread
from support.clock import Clock, instrumented
from support.telemetry import Telemetry


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """A fake provider in its own thread."""
    with FakeProviderThread() as provider:
        yield provider


@pytest.fixture(autouse=True)
def clock() -> Iterator[Clock]:
    """The instrumentation with ``scope="all"``, without ``loop_lag``: busy machines delay loops."""
    with instrumented(Telemetry(), scope="all", loop_lag=False, leak_threshold=2) as clock:
        yield clock

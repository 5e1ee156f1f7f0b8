"""A fake provider, and the instrumentation of every pool."""

from collections.abc import Iterator

import pytest

from gluellm_pools.fake_provider import FakeProvider, FakeProviderThread
from support.clock import Clock, instrumented
from support.telemetry import Telemetry


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """The fake provider, in a thread of its own."""
    with FakeProviderThread() as provider:
        yield provider


@pytest.fixture(autouse=True)
def clock() -> Iterator[Clock]:
    """The instrumentation with ``scope="all"``; event loops are not watched, since neighbours on
    the machine would delay them."""
    with instrumented(Telemetry(), scope="all", loop_lag=False, leak_threshold=2) as clock:
        yield clock

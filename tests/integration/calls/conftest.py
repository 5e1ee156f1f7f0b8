"""Fixtures: a fake provider, and the instrumentation's ledger of calls."""

import gc
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("any_llm")
pytest.importorskip("openai")
pytest.importorskip("anthropic")

from gluellm_pools.fake_provider import FakeProvider, FakeProviderThread
from support.further_replies import REPLIES
from support.telemetry import Telemetry

from .ledger import Ledger


@pytest.fixture(autouse=True)
def _collect_clients() -> Iterator[None]:
    """Collect clients outside of event loops: SDKs would close them in a later test's loop."""
    yield
    gc.collect()


@pytest.fixture
def server() -> Iterator[FakeProvider]:
    """A fake provider in its own thread."""
    with FakeProviderThread(replies=dict(REPLIES)) as provider:
        yield provider


@pytest.fixture
def ledger(instrument: Callable[..., Telemetry]) -> Ledger:
    """The ledger of the active instrumentation."""
    return Ledger(instrument(scope="llm"))

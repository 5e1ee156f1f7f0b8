"""A fake provider and the instrumentation, and what the ledger of calls says."""

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
    """Collect clients outside of event loops: in a later test's loop, SDKs would close them."""
    yield
    gc.collect()


@pytest.fixture
def server() -> Iterator[FakeProvider]:
    """The fake provider, in a thread of its own."""
    with FakeProviderThread(replies=dict(REPLIES)) as provider:
        yield provider


@pytest.fixture
def ledger(instrument: Callable[..., Telemetry]) -> Ledger:
    """The instrumentation, on."""
    return Ledger(instrument(scope="any_llm"))

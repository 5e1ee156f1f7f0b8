"""Fixtures: a fake provider, and the instrumentation's ledger of calls."""

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("any_llm")
pytest.importorskip("openai")
pytest.importorskip("anthropic")

from gluellm_pools.fake_provider import FakeProvider, FakeProviderThread
from opentelemetry.instrumentation.gluellm.pool import call_site
from opentelemetry.instrumentation.gluellm.pool.call_site import CallSite
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


@pytest.fixture
def forbid_walks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Any]]:
    """Forbid to walk the stack from now on; return the functions in which call sites are found.

    A walk appends its greatest depth, and then raises.
    """

    def forbid() -> list[Any]:
        found: list[Any] = []

        def record(*where: Any) -> CallSite:
            found.append(where[0].co_name)
            return CallSite(*where)

        monkeypatch.setattr(call_site, "range", found.append, raising=False)
        monkeypatch.setattr(call_site, "CallSite", record)
        return found

    return forbid

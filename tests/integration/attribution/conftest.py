"""A fake provider, the attribution and the probe."""

from collections.abc import Iterator

import pytest

pytest.importorskip("any_llm")
pytest.importorskip("openai")
pytest.importorskip("anthropic")

from gluellm_pools.fake_provider import FakeProvider, FakeProviderThread
from opentelemetry.instrumentation.gluellm.attribution.any_llm import AnyLLMAttribution
from support.further_replies import REPLIES

from .providers import Probe


@pytest.fixture(scope="session")
def provider_server() -> Iterator[FakeProvider]:
    """The fake provider, with a file to download."""
    batch = b'{"custom_id": "1", "response": {"body": {}}}\n'
    replies = {**REPLIES, ("GET", "/v1/files/f1/content"): batch}
    with FakeProviderThread(replies=replies) as provider:
        yield provider


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Probe:
    """Sees every pool of httpcore and httpcore2."""
    probe = Probe()
    probe.attach(monkeypatch)
    return probe


@pytest.fixture
def errors() -> list[str]:
    """The failures that the attribution counted; a test that expects none says so."""
    return []


@pytest.fixture
def attribution(errors: list[str]) -> Iterator[AnyLLMAttribution]:
    """Not installed yet; uninstalled in the end."""
    attribution = AnyLLMAttribution(lambda kind, _: errors.append(kind))
    yield attribution
    attribution.uninstall()

"""Fixtures: a fake provider, the attribution and a probe."""

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
    """A fake provider with a file to download."""
    batch = b'{"custom_id": "1", "response": {"body": {}}}\n'
    replies = {**REPLIES, ("GET", "/v1/files/f1/content"): batch}
    with FakeProviderThread(replies=replies) as provider:
        yield provider


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Probe:
    """A probe of all pools of httpcore and httpcore2."""
    probe = Probe()
    probe.attach(monkeypatch)
    return probe


@pytest.fixture
def errors() -> list[str]:
    """Failures that the attribution reported. Tests that expect none assert this."""
    return []


@pytest.fixture
def attribution(errors: list[str]) -> Iterator[AnyLLMAttribution]:
    """An attribution that is not installed yet. It is uninstalled after the test."""
    attribution = AnyLLMAttribution(lambda kind, _: errors.append(kind))
    yield attribution
    attribution.uninstall()

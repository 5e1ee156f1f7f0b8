"""httpcore without the hooks that the adapter needs. nox installs such a version."""

import logging
from importlib.metadata import version

import httpx
import pytest

from gluellm_pools.fake_provider import FakeProviderThread
from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.installation import instrumented


def test_missing_hooks_are_reported_and_requests_go_on(caplog: pytest.LogCaptureFixture) -> None:
    """One warning for each hook, with the version; the metric counts them, nothing else changes."""
    caplog.set_level(logging.WARNING, "opentelemetry.instrumentation.gluellm")
    with instrumented() as telemetry:
        with FakeProviderThread() as server, httpx.Client() as client:
            for _ in range(2):
                assert client.get(f"{server.openai_url}/models").status_code == 200
        missing = {hook.partition(": ")[2] for hook in snapshot().process.missing_hooks}
        assert telemetry.value(semconv.HOOK_MISSING, hook_library="httpx") == len(missing)
        assert not telemetry.points(semconv.LEASE_DURATION)
    assert "request" in missing
    warned = [record.getMessage() for record in caplog.records]
    assert len(warned) == len(missing)
    for name in missing:
        (message,) = [text for text in warned if f"'{name}'" in text]
        assert version("httpcore") in message

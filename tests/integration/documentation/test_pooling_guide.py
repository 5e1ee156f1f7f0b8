"""Defaults in docs/connection-pooling.md, compared with the installed packages."""

import asyncio
import importlib
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("module", "connections", "idle", "connect", "rest"),
    [
        ("openai._constants", 1000, 100, 5, 600),
        ("anthropic._constants", 1000, 100, 5, 600),
        pytest.param("groq._constants", 100, 20, 5, 60, marks=pytest.mark.all_sdks),
        pytest.param("cerebras.cloud.sdk._constants", 100, 20, 5, 60, marks=pytest.mark.all_sdks),
    ],
)
def test_guide_has_the_defaults_of_the_sdks(module, connections, idle, connect, rest):
    """Limits, timeouts, and two retries."""
    constants = importlib.import_module(module)
    limits, timeout = constants.DEFAULT_CONNECTION_LIMITS, constants.DEFAULT_TIMEOUT
    assert (limits.max_connections, limits.max_keepalive_connections) == (connections, idle)
    assert limits.keepalive_expiry == 5
    assert (timeout.connect, timeout.read, timeout.write, timeout.pool) == (
        connect,
        rest,
        rest,
        rest,
    )
    assert constants.DEFAULT_MAX_RETRIES == 2


@pytest.mark.all_sdks
def test_guide_has_the_defaults_of_gluellm():
    """Limits, timeouts with their maximum, and attempts."""
    config = pytest.importorskip("gluellm.config", reason="GlueLLM needs Python 3.12")
    fields = config.GlueLLMSettings.model_fields
    expected = {
        "http_max_connections": 50,
        "http_max_keepalive_connections": 50,
        "default_pool_timeout": 60,
        "max_pool_timeout": 120,
        "default_connect_timeout": 30,
        "default_request_timeout": 300,
        "max_request_timeout": 1800,
        "retry_max_attempts": 3,
        "retry_min_wait": 2,
        "retry_max_wait": 30,
        "retry_multiplier": 1,
        "rate_limit_enabled": True,
        "rate_limit_requests_per_minute": 60,
    }
    assert {name: fields[name].default for name in expected} == expected
    assert config.GlueLLMSettings.model_config["env_prefix"] == "GLUELLM_"


@pytest.mark.all_sdks
def test_gluellms_client_keeps_httpxs_expiry():
    """It names limits and timeouts only."""
    api = pytest.importorskip("gluellm.api", reason="GlueLLM needs Python 3.12")
    pool = api._build_provider_http_client()._transport._pool
    assert (pool._max_connections, pool._max_keepalive_connections) == (50, 50)
    assert pool._keepalive_expiry == 5
    assert {"openai", "anthropic"} == api.HTTPX_TRANSPORT_PROVIDERS


@pytest.fixture
def gluellm_api() -> Any:
    """GlueLLM's module; no test sends a request."""
    return pytest.importorskip("gluellm.api", reason="GlueLLM needs Python 3.12")


def test_gluellm_keeps_clients_of_two_providers_for_each_loop(gluellm_api):
    """All other providers have one for all loops."""
    for sdk in ("openai", "groq"):
        pytest.importorskip(sdk)
    assert set(gluellm_api.HTTPX_TRANSPORT_PROVIDERS) == {"openai", "anthropic"}

    async def provider(name: str) -> Any:
        return gluellm_api._provider_cache.get_provider(f"{name}:m", "any")[0]

    for name, shared in (("openai", False), ("groq", True)):
        first, second = (asyncio.run(provider(name)) for _ in range(2))
        assert (first is second) is shared
    asyncio.run(gluellm_api.close_providers())


def test_gluellm_repeats_a_pool_timeout_and_not_its_own(gluellm_api):
    """The SDK's exception for a pool timeout, and asyncio.wait_for's."""
    classified = gluellm_api.classify_llm_error(
        importlib.import_module("openai").APITimeoutError(None)
    )
    assert type(classified) is gluellm_api.APITimeoutError
    assert gluellm_api.should_retry_error(classified)
    assert not gluellm_api.should_retry_error(TimeoutError())

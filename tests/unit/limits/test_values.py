"""Allowed values of limits, and messages for others."""

import math
from collections.abc import Iterator
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.limits import configure, configure_pools, reset_pools
from opentelemetry.instrumentation.gluellm.limits.settings import LONGEST, MOST_CONNECTIONS
from opentelemetry.instrumentation.gluellm.providers import LIMITS

any_llm = pytest.importorskip("any_llm")


@pytest.fixture(autouse=True)
def no_limits_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Reset limits before and after a test; no variable sets one."""
    for variable in configure.LIMIT_VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    reset_pools()
    yield
    reset_pools()


def refused(**arguments: Any) -> str:
    """Return the reason why the arguments are refused; the settings stay."""
    before = configure._state.settings
    with pytest.raises(ValueError) as error:
        configure_pools(**arguments)
    assert configure._state.settings is before
    return str(error.value)


CONNECTIONS = (0, -1, 1.0, 2.5, True, False, "5", math.nan, math.inf, MOST_CONNECTIONS + 1, 10**400)
SECONDS = (0, -0.5, True, "5", math.nan, math.inf, -math.inf, LONGEST + 1, 10**400, 1j)


@pytest.mark.parametrize(
    ("name", "values", "allowed"),
    [
        ("max_connections", CONNECTIONS, "a whole number from 1 to 100000"),
        ("max_keepalive_connections", CONNECTIONS, "a whole number from 1 to 100000"),
        # More than a day is most likely a number of milliseconds.
        ("keepalive_expiry", SECONDS, "seconds above 0 and up to 86400"),
        ("pool_timeout", SECONDS, "seconds above 0 and up to 86400"),
    ],
)
def test_wrong_number_raises_and_names_what_is_allowed(name, values, allowed):
    """The message has the name, the range, and what to do instead."""
    for value in values:
        text = refused(**{name: value})
        assert text.startswith(f"{name}=")
        assert allowed in text
        assert "Leave it out" in text
    assert refused(**{name: None}).startswith("no limit is given")
    assert refused().startswith("no limit is given: give max_connections, ")
    assert refused(provider="openai").startswith("no limit is given")


def test_ends_of_the_ranges_are_allowed():
    for name in LIMITS:
        of_connections = name.startswith("max_")
        for value in (1, MOST_CONNECTIONS) if of_connections else (0.001, 1, LONGEST):
            configure_pools(**{name: value})
            assert configure._state.settings.of("openai")[name].number == value
            reset_pools()


def test_unknown_provider_raises_and_names_similar_ones():
    """Similar names are offered, or all if there are none. The message can be logged."""
    for name, offered in (
        *(("opnai", "'openai'"), ("OpenAI", "'openai'")),
        *(("gemni", "'gemini'"), ("antropic", "'anthropic'")),
    ):
        text = refused(provider=name, max_connections=1)
        assert f"provider={name!r}: any-llm has no such provider. Did you mean " in text
        assert offered in text
    assert "There are anthropic, " in refused(provider="zzzzzz", max_connections=1)
    for value in (5, b"openai", ["openai"], True):
        assert "a provider's key" in refused(provider=value, max_connections=1)
    assert len(refused(provider="x" * 10_000, max_connections=1)) < 2000
    assert "\x1b" not in refused(provider="\x1b[2J", max_connections=1)


def test_every_provider_of_any_llm_is_accepted_or_refused():
    """Providers are given as text and as members of the enum."""
    for name in any_llm.AnyLLM.get_supported_providers():
        if name == "xai":
            assert "gRPC" in refused(provider=name, max_connections=1)
        else:
            configure_pools(provider=name, max_connections=1)
            assert configure._state.settings.of(name)["max_connections"].number == 1
    configure_pools(provider=any_llm.LLMProvider.OPENAI, max_connections=2)
    assert configure._state.settings.of("openai")["max_connections"].number == 2


def test_provider_of_a_newer_any_llm_is_accepted(monkeypatch):
    """The limits of its library are unknown, so none is refused."""
    monkeypatch.setattr(
        any_llm.AnyLLM, "get_supported_providers", staticmethod(lambda: ["openai", "newcomer"])
    )
    configure_pools(provider="newcomer", max_connections=1, pool_timeout=1)
    assert set(configure._state.settings.of("newcomer")) == {"max_connections", "pool_timeout"}


@pytest.mark.parametrize(
    ("providers", "limit", "library"),
    [
        ("gemini azure", "max_keepalive_connections", "aiohttp"),
        ("gemini vertexai voyage cohere fireworks", "pool_timeout", "aiohttp"),
        ("bedrock sagemaker otari", "keepalive_expiry", "urllib3"),
        *(("xai", name, "gRPC") for name in LIMITS),
    ],
)
def test_limit_that_the_library_lacks_raises(providers, limit, library):
    """The message names the library and its limits. A limit for all providers is accepted."""
    for provider in providers.split():
        text = refused(provider=provider, **{limit: 5})
        assert f"provider={provider!r} runs on {library}" in text
    configure_pools(max_connections=5, max_keepalive_connections=4, keepalive_expiry=3)
    configure_pools(pool_timeout=2)


def test_cohere_without_aiohttp_has_every_limit(monkeypatch):
    """It then runs on httpx."""
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "httpx_aiohttp" else find(name)
    )
    configure_pools(provider="cohere", pool_timeout=2)


def test_contradictory_limits_raise():
    """They are in one call or in two calls for the same providers."""
    text = refused(max_connections=4, max_keepalive_connections=5)
    assert "max_keepalive_connections=5 is more than max_connections=4" in text
    assert "at most 4" in text
    configure_pools(max_keepalive_connections=5)
    assert "reset_pools()" in refused(max_connections=4)
    configure_pools(max_connections=4, max_keepalive_connections=4)
    configure_pools(provider="openai", max_keepalive_connections=9)  # another scope


def test_urllib3_has_one_number_and_waits_only_for_a_limit():
    """This holds for a named provider; for all providers, two numbers are allowed."""
    text = refused(provider="bedrock", max_connections=5, max_keepalive_connections=4)
    assert "contradict each other" in text
    configure_pools(provider="bedrock", max_connections=5, max_keepalive_connections=5)
    configure_pools(max_connections=5, max_keepalive_connections=4)
    reset_pools()
    assert "Give max_connections as well" in refused(provider="bedrock", pool_timeout=5)
    configure_pools(provider="bedrock", pool_timeout=5, max_connections=5)
    reset_pools()
    configure_pools(max_connections=5)
    configure_pools(provider="bedrock", pool_timeout=5)


def test_apply_httpx_env_is_a_boolean_for_all_providers():
    """It is refused for a provider without a pool. The variables may be unset."""
    for value in (1, "true", None):
        assert "allowed is True or False" in refused(apply_httpx_env=value)
    assert "gRPC" in refused(provider="xai", apply_httpx_env=True)
    configure_pools(apply_httpx_env=True)
    assert configure._state.settings.of("openai") == {}

"""Which arguments of a client are the user's word on which limits."""

from __future__ import annotations

from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.adapters.arguments import limits_given
from opentelemetry.instrumentation.gluellm.providers import LIMITS

ALL = frozenset(LIMITS)
NONE: frozenset[str] = frozenset()
OF_LIMITS = ALL - {"pool_timeout"}


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ({}, NONE),
        ({"api_key": "k", "api_base": "b", "max_retries": 3, "proxy": "p"}, NONE),
        ({"http_client": object()}, ALL),
        ({"http_client": None, "timeout": None, "limits": None}, NONE),
        ({"httpx_client": object()}, ALL),
        ({"async_client": object()}, ALL),
        ({"client": object()}, ALL),
        ({"transport": object()}, ALL),
        ({"session": object()}, ALL),
        ({"api_client": object()}, NONE),  # watsonx ignores it
        ({"limits": object()}, OF_LIMITS),
        ({"timeout": 5}, {"pool_timeout"}),
        ({"timeout": 5, "limits": object()}, ALL),
        ({"channel_options": [("a", 1)]}, NONE),
        ({"http_options": {"base_url": "b"}}, NONE),
        ({"http_options": {"aiohttp_client": object()}}, ALL),
        ({"http_options": {"httpx_async_client": object()}}, ALL),
        ({"http_options": {"async_client_args": {"limits": object()}}}, OF_LIMITS),
        ({"http_options": {"async_client_args": {"transport": object()}}}, ALL),
        ({"http_options": {"timeout": 5000}}, {"pool_timeout"}),
        ({"http_options": 5}, NONE),
    ],
)
def test_arguments(arguments: dict[str, Any], given: frozenset[str]) -> None:
    """None counts as left out."""
    assert limits_given(arguments) == given


@pytest.mark.all_sdks
def test_google_options_as_a_model() -> None:
    """The same in the SDK's own class."""
    types = pytest.importorskip("google.genai.types")
    plain = types.HttpOptions(base_url="b")
    limited = types.HttpOptions(async_client_args={"limits": object()})
    assert limits_given({"http_options": plain}) == NONE
    assert limits_given({"http_options": limited}) == OF_LIMITS


@pytest.mark.all_sdks
def test_botocore_config() -> None:
    """Only where the number of connections is named, even if it is botocore's own default."""
    config = pytest.importorskip("botocore.config").Config
    of_both = {"max_connections", "max_keepalive_connections"}
    assert limits_given({"config": config(read_timeout=5)}) == NONE
    assert limits_given({"config": config(max_pool_connections=10)}) == of_both
    merged = config(read_timeout=5).merge(config(max_pool_connections=3))
    assert limits_given({"config": merged}) == of_both
    assert limits_given({"config": object()}) == of_both

"""Arguments of a client that set limits."""

import pytest

from opentelemetry.instrumentation.gluellm.limits.scope import limits_given
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
def test_limits_given_by_client_arguments(arguments, given):
    """Each argument sets the limits listed; None counts as unset."""
    assert limits_given(arguments) == given

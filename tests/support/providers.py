"""Real any-llm providers that send their requests to the fake one."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import any_llm
import openai

from gluellm_pools.fake_provider import FakeProvider

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 100}
STREAM: dict[str, Any] = {**CHAT, "stream": True}
Arguments = dict[str, Any]
OPENAI_IS_ON_HTTPX2 = int(openai.__version__.split(".")[0]) >= 3
HTTP_OF_OPENAI: Any = importlib.import_module("httpx2" if OPENAI_IS_ON_HTTPX2 else "httpx")
"""The HTTP library that openai's SDK uses."""


def arguments(provider: str, server: FakeProvider) -> dict[str, Any]:
    """Arguments with which a provider reaches the fake one."""
    base = server.anthropic_url if provider == "anthropic" else server.openai_url
    return {"api_key": "any", "api_base": base}


def create(provider: str, server: FakeProvider, **more: Any) -> Any:
    """A provider's instance."""
    return any_llm.AnyLLM.create(provider, **arguments(provider, server), **more)


ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1,localhost",
}
"""Environment variables that the SDKs read."""


def _google_credentials() -> Any:
    from google.oauth2.credentials import Credentials

    return Credentials(token="any")


def _vertexai(origin: str) -> Arguments:
    return {
        "credentials": _google_credentials(),
        "project": "project",
        "location": "us-central1",
        "http_options": {"base_url": origin},
    }


def _vertexaianthropic(origin: str) -> Arguments:
    # any-llm does not pass api_base on.
    return {"credentials": _google_credentials(), "project_id": "project", "base_url": origin}


def _openai(origin: str) -> Arguments:
    return {"api_key": "any", "api_base": f"{origin}/v1"}


_ARGUMENTS: Mapping[str, Callable[[str], Arguments]] = {
    **dict.fromkeys(
        "anthropic azure azureanthropic gemini liner mistral ollama otari typesafe".split(),
        lambda origin: {"api_key": "any", "api_base": origin},
    ),
    **dict.fromkeys(
        "cerebras cohere groq".split(),
        # any-llm does not pass api_base on.
        lambda origin: {"api_key": "any", "base_url": origin},
    ),
    **dict.fromkeys("bedrock lmstudio sagemaker".split(), lambda origin: {"api_base": origin}),
    "vertexai": _vertexai,
    "vertexaianthropic": _vertexaianthropic,
    "voyage": lambda origin: {"api_key": "any", "base_url": f"{origin}/v1"},
    "xai": lambda origin: {"api_key": "any", "api_host": origin, "use_insecure_channel": True},
    "watsonx": lambda origin: {
        "api_key": "any",
        "api_base": "https://us-south.ml.cloud.ibm.com",
        "project_id": "project",
    },
}


def arguments_at(provider: str, origin: str) -> Arguments:
    """Arguments with which a provider reaches a server of all providers at ``origin``."""
    return _ARGUMENTS.get(provider, _openai)(origin)

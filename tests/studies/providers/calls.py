"""How each provider is built so that it talks to the fake one, by public means, and called."""

from collections.abc import Callable, Mapping
from typing import Any

import any_llm

from support.fake_llms import MODEL

from .rows import DECIDE, EMBEDDINGS, Row

Arguments = dict[str, Any]

_QUESTION = [{"role": "user", "content": "hi"}]

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1,localhost",
}
"""What the SDKs ask of the environment."""


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
    # any-llm doesn't hand api_base on.
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
        # any-llm doesn't hand api_base on.
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


def arguments(provider: str, origin: str) -> Arguments:
    """What the provider needs to reach the fake one at ``origin``."""
    return _ARGUMENTS.get(provider, _openai)(origin)


def create(provider: str, origin: str, **more: Any) -> Any:
    """The provider's instance, with a key that opens nothing."""
    given = arguments(provider, origin)
    for name, value in more.items():
        nested = isinstance(value, dict) and isinstance(given.get(name), dict)
        given[name] = {**given[name], **value} if nested else value
    return any_llm.AnyLLM.create(provider, **given)


async def call(instance: Any, row: Row) -> Any:
    """One call: a chat, or what the provider has instead."""
    if row.operation == EMBEDDINGS:
        return await instance.aembedding(model=MODEL, inputs="hi")
    if row.operation == DECIDE:
        question = {"type": "noul", "instructions": "is it?"}
        return await instance.adecide(model=MODEL, state="hi", questions={"q": question})
    return await instance.acompletion(model=MODEL, messages=_QUESTION)


def call_sync(instance: Any) -> Any:
    """One chat through any-llm's sync interface."""
    return instance.completion(model=MODEL, messages=_QUESTION)


OTHER_CALLS: Mapping[str, Callable[[Any], Any]] = {
    "messages": lambda one: one.messages(model=MODEL, max_tokens=5, messages=_QUESTION),
    "stream": lambda one: list(one.completion(model=MODEL, stream=True, messages=_QUESTION)),
}
"""Synchronous calls that are no whole chat."""

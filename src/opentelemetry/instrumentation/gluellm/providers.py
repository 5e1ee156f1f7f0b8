"""HTTP library of each any-llm provider, and the pool limits that the library has.

Advice and ``configure_pools()`` both use this table. Verified with any-llm-sdk 1.40.2, openai 3.57,
anthropic 0.125, google-genai 3.6, cohere 7.3, botocore 1.44.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

MAX_CONNECTIONS = "max_connections"
MAX_KEEPALIVE_CONNECTIONS = "max_keepalive_connections"
KEEPALIVE_EXPIRY = "keepalive_expiry"
POOL_TIMEOUT = "pool_timeout"
LIMITS = (MAX_CONNECTIONS, MAX_KEEPALIVE_CONNECTIONS, KEEPALIVE_EXPIRY, POOL_TIMEOUT)
"""Limits of a pool, under httpx's names."""


@dataclass(frozen=True, slots=True)
class Library:
    """A library that sends the requests of providers."""

    name: str
    """Name for people, for example ``gRPC``."""
    limits: tuple[str, ...]
    """Limits that its pools have."""
    instead: str = ""
    """Explanation for people if its pools have no limits; else empty."""


HTTPX = Library("httpx", LIMITS)
HTTPX2 = Library("httpx2", LIMITS)
AIOHTTP = Library("aiohttp", (MAX_CONNECTIONS, KEEPALIVE_EXPIRY))
"""Without a pool timeout: aiohttp has one timeout for queueing and connecting together."""
URLLIB3 = Library("urllib3", (MAX_CONNECTIONS, MAX_KEEPALIVE_CONNECTIONS, POOL_TIMEOUT))
"""``maxsize`` bounds both open and idle connections, per host."""
GRPC = Library(
    "gRPC", (), "all calls of an AnyLLM object share one connection, several objects have several"
)


@dataclass(frozen=True, slots=True)
class _Stack:
    libraries: tuple[Library, ...]
    """Libraries that send the provider's requests, the one for chat first."""
    needs: str | None = None
    """Optional module that these libraries require; None if they require none."""
    otherwise: tuple[Library, ...] = ()
    """Libraries that are used if the module ``needs`` is missing."""


OPENAI_COMPATIBLE = (
    "atlascloud azureopenai cascadia dashscope databricks deepinfra edenai github gmi inception "
    "kenari llama llamacpp llamafile minimax moonshot mzai nebius neosantara openai openrouter "
    "ovhcloud perplexity portkey qiniu requesty sambanova telnyx vllm zai"
)
"""Providers that send all requests through the openai SDK's client."""

_STACKS: tuple[tuple[_Stack, str], ...] = (
    (_Stack((HTTPX2,)), OPENAI_COMPATIBLE),
    (_Stack((HTTPX2,)), "huggingface mistral typesafe"),
    (_Stack((HTTPX2, HTTPX)), "deepseek meta"),
    (_Stack((HTTPX,)), "anthropic azureanthropic vertexaianthropic cerebras groq together"),
    (_Stack((HTTPX,)), "liner lmstudio ollama watsonx"),
    (_Stack((AIOHTTP,), "aiohttp", (HTTPX2,)), "gemini"),
    (_Stack((AIOHTTP, HTTPX2), "aiohttp", (HTTPX2,)), "vertexai"),
    (_Stack((AIOHTTP,)), "azure voyage"),
    (_Stack((AIOHTTP,), "httpx_aiohttp", (HTTPX,)), "cohere"),
    (_Stack((AIOHTTP, HTTPX2), "httpx_aiohttp", (HTTPX, HTTPX2)), "fireworks"),
    (_Stack((URLLIB3,)), "bedrock sagemaker"),
    (_Stack((URLLIB3, HTTPX)), "otari"),
    (_Stack((GRPC,)), "xai"),
)
_UNKNOWN = _Stack(())
_STACK_OF = {provider: stack for stack, names in _STACKS for provider in names.split()}

PROVIDERS = frozenset(_STACK_OF)
"""any-llm's keys of the known providers."""


def libraries_of(provider: str) -> tuple[Library, ...]:
    """Return the libraries that send a provider's requests here, the one for chat first.

    Depends on what is installed. Empty for an unknown provider.
    """
    stack = _STACK_OF.get(provider, _UNKNOWN)
    if stack.needs is not None and importlib.util.find_spec(stack.needs) is None:
        return stack.otherwise
    return stack.libraries


def usual_library(provider: str) -> Library | None:
    """Return the library that sends a provider's chat if all optional modules are installed."""
    return next(iter(_STACK_OF.get(provider, _UNKNOWN).libraries), None)


def is_carried_by(provider: str | None, library: str) -> bool:
    """Return whether an any-llm provider can send through a library, whatever is installed.

    httpx and httpx2 count as the same: applications pass a client of one to providers that use the
    other. A pool of any other library belongs to a client of the application that calls the same
    host.
    """
    stack = _STACK_OF.get(provider or "", _UNKNOWN)
    names = {known.name.lower() for known in (*stack.libraries, *stack.otherwise)}
    httpx = {HTTPX.name, HTTPX2.name}
    return library in names or (library in httpx and not names.isdisjoint(httpx))


def has_limit(provider: str, limit: str) -> bool:
    """Return whether a provider's pools have this limit, whatever is installed.

    Looks up no module.
    """
    stack = _STACK_OF.get(provider, _UNKNOWN)
    libraries = (*stack.libraries, *stack.otherwise)
    return bool(libraries) and all(limit in library.limits for library in libraries)

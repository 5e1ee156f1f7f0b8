"""Which library carries each any-llm provider's requests, and which limits that library has.

The one home of these facts: the cures and ``configure_pools()`` rest on them. Verified with
any-llm-sdk 1.40.2, openai 3.57, anthropic 0.125, google-genai 3.6, cohere 7.3, botocore 1.44.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

MAX_CONNECTIONS = "max_connections"
MAX_KEEPALIVE_CONNECTIONS = "max_keepalive_connections"
KEEPALIVE_EXPIRY = "keepalive_expiry"
POOL_TIMEOUT = "pool_timeout"
LIMITS = (MAX_CONNECTIONS, MAX_KEEPALIVE_CONNECTIONS, KEEPALIVE_EXPIRY, POOL_TIMEOUT)
"""The limits of a pool, by the names that httpx gave them."""


@dataclass(frozen=True, slots=True)
class Library:
    """A library that providers' requests go through."""

    name: str
    """As people know it."""
    limits: tuple[str, ...]
    """Those that its pools have."""
    instead: str = ""
    """What there is to do where it has none."""


HTTPX = Library("httpx", LIMITS)
HTTPX2 = Library("httpx2", LIMITS)
AIOHTTP = Library("aiohttp", (MAX_CONNECTIONS, KEEPALIVE_EXPIRY))
"""Its timeout for a connection is that for the queue and for connecting in one."""
URLLIB3 = Library("urllib3", (MAX_CONNECTIONS, MAX_KEEPALIVE_CONNECTIONS, POOL_TIMEOUT))
"""One number, ``maxsize``, bounds open and idle connections, for each host."""
GRPC = Library(
    "gRPC", (), "all calls of an AnyLLM object share one connection, several objects have several"
)


@dataclass(frozen=True, slots=True)
class _Stack:
    libraries: tuple[Library, ...]
    """The first one carries chat."""
    needs: str | None = None
    """A module that these rest on, if they do so on an optional one."""
    otherwise: tuple[Library, ...] = ()
    """What is used where that can't be imported."""


OPENAI_COMPATIBLE = (
    "atlascloud azureopenai cascadia dashscope databricks deepinfra edenai github gmi inception "
    "kenari llama llamacpp llamafile minimax moonshot mzai nebius neosantara openai openrouter "
    "ovhcloud perplexity portkey qiniu requesty sambanova telnyx vllm zai"
)
"""Providers whose client is the openai SDK's, and nothing else."""

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
_STACK_OF = {provider: stack for stack, names in _STACKS for provider in names.split()}

PROVIDERS = frozenset(_STACK_OF)
"""The providers that are known, by any-llm's key."""


def libraries_of(provider: str) -> tuple[Library, ...]:
    """The libraries that carry a provider's requests, chat's first; none for an unknown one."""
    stack = _STACK_OF.get(provider)
    if stack is None:
        return ()
    if stack.needs is not None and importlib.util.find_spec(stack.needs) is None:
        return stack.otherwise
    return stack.libraries


def usual_library(provider: str) -> Library | None:
    """The library that carries a provider's chat where everything is installed."""
    stack = _STACK_OF.get(provider)
    return None if stack is None else stack.libraries[0]


def is_carried_by(provider: str | None, library: str) -> bool:
    """Whether any-llm's provider sends through such a library, whatever is installed.

    One of httpx is handed to providers that use httpx2, and the other way round. A pool of another
    library is that of a client of the application's own, which calls the same host.
    """
    stack = _STACK_OF.get(provider or "")
    if stack is None:
        return False
    names = {known.name.lower() for known in (*stack.libraries, *stack.otherwise)}
    httpx = {HTTPX.name, HTTPX2.name}
    return library in names or (library in httpx and not names.isdisjoint(httpx))


def has_limit(provider: str, limit: str) -> bool:
    """Whether a provider has this limit, whatever is installed. Looks nothing up."""
    stack = _STACK_OF.get(provider)
    if stack is None:
        return False
    return all(limit in library.limits for library in (*stack.libraries, *stack.otherwise))

"""How the SDK of each any-llm provider accepts an HTTP client or its limits.

any-llm passes the keyword arguments of ``AnyLLM.create`` to the provider's SDK, and each SDK has
its own way to accept an HTTP client. Providers with the same way form a family. All are verified
with any-llm-sdk 1.40.2: ``make -C tests/studies providers`` executes each advice literally, makes a
call, and checks the limit in effect.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from opentelemetry.instrumentation.gluellm.providers import OPENAI_COMPATIBLE


@dataclass(frozen=True, slots=True)
class Family:
    """Providers whose SDKs accept an HTTP client in the same way."""

    how: str = ""
    """Code to write. ``{client}`` stands for an expression that builds a client, ``{arguments}``
    for the arguments of a client."""
    module: str | None = None
    """``httpx`` or ``httpx2``; None for the library of the pool."""
    note: str = ""
    builder: str | None = None
    """Class that builds a client with the SDK's own defaults; None for ``AsyncClient``. Its
    synchronous twin has the same name without ``Async``."""
    takes_timeout: bool = False
    """Whether ``AnyLLM.create(timeout=...)`` accepts a ``Timeout``, which has one of each kind."""
    timeout: int | None = None
    """Timeout in seconds to give the client if the SDK sets none; httpx's default is 5 s."""
    milliseconds: str = ""
    """Argument of the SDK's client for its only timeout. The HTTP client's have no effect then."""
    retries: str = "max_retries=0"
    """Argument of the SDK's client that switches its retries off."""
    instead: str | None = None
    """Advice for SDKs that accept no httpx client; replaces ``how``. ``{size}`` stands for a limit,
    ``{argument}`` for its name in aiohttp."""


_OPENAI = Family(
    "http_client={client}", builder="openai.DefaultAsyncHttpxClient", takes_timeout=True
)
_HTTP_CLIENT = replace(_OPENAI, module="httpx", builder=None)
ANTHROPIC = replace(_HTTP_CLIENT, builder="anthropic.DefaultAsyncHttpxClient")
_OPENAI_AND_ANTHROPIC = replace(
    _HTTP_CLIENT,
    note="The provider's anthropic client uses it too, and rejects clients of httpx2.",
)
_FIREWORKS = replace(
    _HTTP_CLIENT,
    note="The Fireworks SDK uses this client instead of aiohttp. The provider's openai client "
    "uses it as well.",
)
_TYPESAFE = Family("http_client={client}", "httpx2", timeout=10)
_COHERE = Family(
    "httpx_client={client}",
    "httpx",
    "The SDK then uses this client instead of aiohttp.",
    timeout=300,
)
_MISTRAL = Family(
    "async_client={client}", "httpx2", milliseconds="timeout_ms={}", retries="retry_config=None"
)
_OLLAMA = Family("{arguments}", "httpx")
_LINER = Family(
    "{arguments}", "httpx", "any-llm builds a client for each call, so a limit applies to one call."
)
_GENAI = Family(
    'http_options={{"httpx_async_client": {client}}}',
    "httpx2",
    "The SDK then uses this client instead of aiohttp.",
    milliseconds='http_options={{"timeout": {}}}',
    retries='http_options={"retry_options": {"attempts": 1}}',
)
HUGGINGFACE = Family(
    "huggingface_hub.set_async_client_factory(lambda: {client})",
    "httpx2",
    "AnyLLM.create accepts no client for this provider.",
)
_AZURE = Family(
    instead='AnyLLM.create("azure", transport=AioHttpTransport(session=aiohttp.ClientSession('
    "connector=aiohttp.TCPConnector({argument}={size})))). Import AioHttpTransport from "
    "azure.core.pipeline.transport"
)
BOTOCORE = Family(
    instead='AnyLLM.create("{provider}", config=botocore.config.Config(max_pool_connections='
    "{size})). This limits only idle connections. Calls run in the event loop's default executor: "
    "give it {size} threads"
)
_XAI = Family(
    instead='all calls of one AnyLLM.create("xai") share one gRPC connection. For more, create '
    "several instances"
)
NO_CLIENT = Family(
    instead="any-llm's {provider} provider takes no HTTP client: spread the load over processes"
)
# watsonx: with the credentials that any-llm passes, its SDK ignores api_client=.
_PER_CALL = Family(
    instead="any-llm's {provider} provider takes no HTTP client, and builds its own for each call: "
    "make fewer calls at a time"
)

_FAMILIES: tuple[tuple[Family, str], ...] = (
    (_OPENAI, OPENAI_COMPATIBLE),
    (_OPENAI_AND_ANTHROPIC, "deepseek meta"),
    (ANTHROPIC, "anthropic azureanthropic vertexaianthropic"),
    (_HTTP_CLIENT, "cerebras groq together"),
    (_FIREWORKS, "fireworks"),
    (_TYPESAFE, "typesafe"),
    (_COHERE, "cohere"),
    (_MISTRAL, "mistral"),
    (_OLLAMA, "ollama"),
    (_LINER, "liner"),
    (_GENAI, "gemini vertexai"),
    (HUGGINGFACE, "huggingface"),
    (_AZURE, "azure"),
    (BOTOCORE, "bedrock sagemaker"),
    (_XAI, "xai"),
    (_PER_CALL, "lmstudio voyage watsonx"),
    (NO_CLIENT, "otari"),
)
FAMILY_OF = {provider: family for family, names in _FAMILIES for provider in names.split()}
"""Family of each provider of any-llm-sdk 1.40.2, by any-llm's key."""

OWN_POOL_PER_CALL = frozenset({"liner", "lmstudio", "voyage", "watsonx"})
"""Providers for which any-llm builds a client per call, whatever the application does."""

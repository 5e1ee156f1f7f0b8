"""How the limits and timeouts of each any-llm provider's client are set.

any-llm hands the keywords of ``AnyLLM.create`` to the provider's SDK, and each SDK has its own way
to take an HTTP client. Providers with the same way are one family. All are verified with
any-llm-sdk 1.40.2: the census (``tests/census``) follows each to the letter, makes a call, and
looks at the limit in effect.

Facts that the wording rests on, for openai and anthropic alike:

- A client that is handed over and left at httpx's default timeouts is used with the SDK's own: 5 s
  to connect, 600 s for the rest. Any other timeout of the client wins over the SDK's.
- ``timeout=`` of ``AnyLLM.create`` sets them without a client of one's own.
- ``Limits(max_connections=N)`` without ``max_keepalive_connections`` keeps all N idle ones.
- anthropic switches SO_KEEPALIVE on in the client that it builds; a plain ``httpx.AsyncClient``
  lacks it, ``anthropic.DefaultAsyncHttpxClient`` keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..providers import (
    KEEPALIVE_EXPIRY,
    MAX_CONNECTIONS,
    MAX_KEEPALIVE_CONNECTIONS,
    OPENAI_COMPATIBLE,
    POOL_TIMEOUT,
    has_limit,
)

GLUELLM_PROVIDERS = frozenset({"openai", "anthropic"})
"""The providers that GlueLLM 1.11 builds an ``httpx.AsyncClient`` for, whose limits come from its
settings alone."""

_SOCKET_OPTIONS = "[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]"


@dataclass(frozen=True, slots=True)
class Family:
    """Providers whose SDKs take an HTTP client in the same way."""

    how: str = ""
    """What is written, with ``{client}`` where a client goes, or ``{arguments}`` where the
    arguments of a client themselves go."""
    module: str | None = None
    """``httpx`` or ``httpx2``; None for the one that the pool is of."""
    note: str = ""
    builder: str | None = None
    """What builds a client with the SDK's own defaults, if that is not ``AsyncClient``."""
    takes_timeout: bool = False
    """Whether ``AnyLLM.create`` takes ``timeout=`` with a timeout of each kind."""
    timeout: int | None = None
    """Seconds that a client has to be given where the SDK gives it none: httpx's own are 5."""
    instead: str | None = None
    """What there is to say where no HTTP client of httpx can be handed over."""


_OPENAI = Family("http_client={client}", takes_timeout=True)
_ANTHROPIC = Family(
    "http_client={client}",
    "httpx",
    builder="anthropic.DefaultAsyncHttpxClient",
    takes_timeout=True,
)
_OPENAI_AND_ANTHROPIC = Family(
    "http_client={client}",
    "httpx",
    "It goes to an anthropic client too, which refuses one of httpx2.",
    takes_timeout=True,
)
_HTTP_CLIENT = Family("http_client={client}", "httpx", takes_timeout=True)
_FIREWORKS = Family(
    "http_client={client}",
    "httpx",
    "It goes to the Fireworks SDK, which uses it instead of aiohttp, and to an openai client.",
    takes_timeout=True,
)
_TYPESAFE = Family("http_client={client}", "httpx2", timeout=10)
_COHERE = Family(
    "httpx_client={client}",
    "httpx",
    "With it cohere uses this client instead of aiohttp.",
    timeout=300,
)
_MISTRAL = Family("async_client={client}", "httpx2")
_OLLAMA = Family("{arguments}", "httpx")
_LINER = Family(
    "{arguments}", "httpx", "any-llm builds a client for each call of it: a limit bounds one call."
)
_GENAI = Family(
    'http_options={{"httpx_async_client": {client}}}',
    "httpx2",
    "With it google-genai uses this client instead of aiohttp.",
)
_HUGGINGFACE = Family(
    "huggingface_hub.set_async_client_factory(lambda: {client})",
    "httpx2",
    "AnyLLM.create takes no client for it.",
)
_AZURE = Family(
    instead='AnyLLM.create("azure", transport=AioHttpTransport(session=aiohttp.ClientSession('
    "connector=aiohttp.TCPConnector(limit=N)))), with AioHttpTransport from "
    "azure.core.pipeline.transport"
)
_BOTOCORE = Family(
    instead='AnyLLM.create("{provider}", config=botocore.config.Config(max_pool_connections=N)); '
    "its calls run in the event loop's default executor, so give that N threads as well"
)
_XAI = Family(
    instead='all calls of one AnyLLM.create("xai") share one gRPC connection, several instances '
    "have several"
)
_NONE = Family(
    instead="any-llm's {provider} provider takes no HTTP client: spread the load over processes"
)
# watsonx: its SDK heeds no api_client= beside the credentials that any-llm gives it.
_PER_CALL = Family(
    instead="any-llm's {provider} provider takes no HTTP client, and builds one for each call: "
    "make fewer calls at a time"
)

_FAMILIES: tuple[tuple[Family, str], ...] = (
    (_OPENAI, OPENAI_COMPATIBLE),
    (_OPENAI_AND_ANTHROPIC, "deepseek meta"),
    (_ANTHROPIC, "anthropic azureanthropic vertexaianthropic"),
    (_HTTP_CLIENT, "cerebras groq together"),
    (_FIREWORKS, "fireworks"),
    (_TYPESAFE, "typesafe"),
    (_COHERE, "cohere"),
    (_MISTRAL, "mistral"),
    (_OLLAMA, "ollama"),
    (_LINER, "liner"),
    (_GENAI, "gemini vertexai"),
    (_HUGGINGFACE, "huggingface"),
    (_AZURE, "azure"),
    (_BOTOCORE, "bedrock sagemaker"),
    (_XAI, "xai"),
    (_PER_CALL, "lmstudio voyage watsonx"),
    (_NONE, "otari"),
)
FAMILY_OF = {provider: family for family, names in _FAMILIES for provider in names.split()}
"""The family of every provider of any-llm-sdk 1.40.2, by any-llm's key."""

OWN_POOL_PER_CALL = frozenset({"liner", "lmstudio", "voyage", "watsonx"})
"""Providers whose implementation builds a client for each call, whatever the application does."""


@dataclass(frozen=True, slots=True)
class Advisor:
    """Says how the client of one pool is configured. Sentences without a full stop."""

    provider: str | None
    library: str
    gluellm: bool
    """Whether GlueLLM is in the process."""

    def allow(self, size: int) -> str:
        """How to let the pool have ``size`` connections."""
        own = self._configured(
            {MAX_CONNECTIONS: size, MAX_KEEPALIVE_CONNECTIONS: size},
            self._client(f"limits={self._limits(size)}", size),
        )
        if not self._may_be_gluellms:
            return f"Allow {size} connections: {own}"
        return (
            f"Allow {size} connections: under GlueLLM, set GLUELLM_HTTP_MAX_CONNECTIONS={size} and "
            f"GLUELLM_HTTP_MAX_KEEPALIVE_CONNECTIONS={size} before the program starts; for a "
            f"client that is not GlueLLM's, {own}"
        )

    def wait_at_most(self, wait: int, read: float = 600.0) -> str:
        """How to set a pool timeout of ``wait`` seconds and leave the read timeout what it is."""
        timeout = f"timeout={self._module}.Timeout({read:g}, connect=5, pool={wait})"
        takes = self._family.takes_timeout
        own = f'AnyLLM.create("{self.provider}", {timeout})' if takes else self._client(timeout)
        own = self._configured({POOL_TIMEOUT: wait}, own)
        if not self._may_be_gluellms:
            return f"Set a pool timeout of seconds: {own}"
        return (
            f"Set a pool timeout of seconds: under GlueLLM, GLUELLM_DEFAULT_POOL_TIMEOUT={wait} "
            f"(60 by default, GLUELLM_MAX_POOL_TIMEOUT caps it); for a client that is not "
            f"GlueLLM's, {own}"
        )

    def keep_idle(self, expiry: int, maximum: int | None) -> str:
        """How to keep idle connections for ``expiry`` seconds in a pool of ``maximum``."""
        own = self._client(f"limits={self._limits(maximum, f'keepalive_expiry={expiry}')}")
        return self._configured({KEEPALIVE_EXPIRY: expiry}, own)

    def keep(self, size: int) -> str:
        """How to keep ``size`` idle connections in a pool that has no other limit."""
        if self._family is _BOTOCORE:
            return (
                f'Keep {size} connections: AnyLLM.create("{self.provider}", '
                f"config=botocore.config.Config(max_pool_connections={size}))"
            )
        if self.provider is not None:
            return (
                f"Keep {size} connections: its client takes no such setting, but "
                f'configure_pools(max_keepalive_connections={size}, provider="{self.provider}") '
                f"sets it"
            )
        return f"Keep {size} connections: urllib3.PoolManager(maxsize={size})"

    def probe_idle(self, maximum: int | None) -> str:
        """How to switch SO_KEEPALIVE on in a pool of ``maximum`` connections.

        With its idle time, since the system's own is two hours. Linux's name; macOS has
        ``socket.TCP_KEEPALIVE``.
        """
        if self._family is _ANTHROPIC:
            return (
                "the client that the anthropic SDK builds by itself, or "
                "anthropic.DefaultAsyncHttpxClient(...), switches it on"
            )
        return self._client(
            f"transport={self._module}.AsyncHTTPTransport("
            f"limits={self._limits(maximum)}, "
            f"socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), "
            f"(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)])"
        )

    def without_http2(self, maximum: int | None) -> str:
        """How to speak HTTP/1.1 over up to ``maximum`` connections."""
        return self._client(f"http2=False, limits={self._limits(maximum)}")

    def keep_instance(self) -> str:
        """How to have one pool and not one per call."""
        name = self.provider
        if name is None:
            return (
                f"Build one {self._module}.AsyncClient when the program starts, and use it for "
                f"all calls"
            )
        if name in OWN_POOL_PER_CALL:
            return (
                f"any-llm's {name} provider builds a client for each call by itself: make fewer "
                f"calls at a time, or use another provider of the model"
            )
        return (
            f'Keep one instance, llm = AnyLLM.create("{name}"), for the life of the program and '
            f"call llm.acompletion(...). The module's functions, any_llm.acompletion(...) and its "
            f"siblings, build a client for each call"
        )

    @property
    def _family(self) -> Family:
        return FAMILY_OF.get(self.provider or "", Family("{client}"))

    @property
    def _module(self) -> str:
        module = self._family.module or self.library
        return module if module in ("httpx", "httpx2") else "httpx"

    def _limits(self, maximum: int | None, more: str = "") -> str:
        """The bounds are named always: a Limits without them has none."""
        arguments = f"max_connections={maximum}" + (f", {more}" if more else "")
        return f"{self._module}.Limits({arguments})"

    def _configured(self, limits: Mapping[str, int], own: str) -> str:
        """The shortest way before the provider's own; not for the application's own clients."""
        provider = self.provider or ""
        if provider in OWN_POOL_PER_CALL:
            return own
        there = [
            f"{name}={value}"
            for name, value in limits.items()
            if has_limit(provider, name)
            # One number bounds both in urllib3.
            and not (name == MAX_KEEPALIVE_CONNECTIONS and self.library == "urllib3")
        ]
        if not there:
            return own
        call = f'configure_pools(provider="{provider}", {", ".join(there)})'
        if self._family is _NONE:
            return f"{call}, since its client takes no limit otherwise"
        return f"{call} where any-llm builds the client, or {own}"

    @property
    def _may_be_gluellms(self) -> bool:
        return self.gluellm and self.library == "httpx" and self.provider in GLUELLM_PROVIDERS

    def _client(self, arguments: str, size: int | None = None) -> str:
        """Where a client with these arguments goes."""
        family = self._family
        if family.instead is not None:
            text = family.instead.replace("{provider}", str(self.provider))
            return text if size is None else text.replace("=N)", f"={size})")
        if family.timeout is not None and "timeout=" not in arguments:
            arguments = f"timeout={family.timeout}, {arguments}"
        builder = family.builder or f"{self._module}.AsyncClient"
        how = family.how.format(client=f"{builder}({arguments})", arguments=arguments)
        if self.provider in FAMILY_OF and family is not _HUGGINGFACE:
            how = f'AnyLLM.create("{self.provider}", {how})'
        return f"{how}. {family.note}".removesuffix(".") if family.note else how

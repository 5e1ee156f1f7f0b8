"""How to set the limits and timeouts of a pool's client, built by any-llm or by the application.

The wording relies on these facts, which hold for openai and anthropic:

- With a client that has httpx's default timeouts, the SDK uses its own timeouts: 5 s to connect,
  600 s for the rest. Any other timeout of the client takes precedence over the SDK's.
- ``AnyLLM.create(timeout=...)`` sets the timeouts without a client.
- ``Limits(max_connections=N)`` without ``max_keepalive_connections`` keeps all N idle connections.
- The SDKs' own classes, such as ``openai.DefaultAsyncHttpxClient``, take the arguments of
  ``AsyncClient``, and keep what a plain one lacks: redirects are followed, the timeouts are the
  SDK's, and anthropic turns SO_KEEPALIVE on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from opentelemetry.instrumentation.gluellm import providers

from . import families
from .frameworks import LITELLM, Framework, the_only
from .own_clients import GRPC, LITELLMS, LOOP_PER_CLIENT, ONE_LOOP, OwnClient, own_client

GLUELLM_PROVIDERS = frozenset({"openai", "anthropic"})
"""Providers for which GlueLLM 1.11 builds an ``httpx.AsyncClient``. Only GlueLLM's settings set the
limits of that client."""


def advisor_for(
    provider: str | None,
    library: str,
    *,
    gluellm: bool,
    synchronous: bool = False,
    any_llm: bool = True,
    imported: Collection[str] = (),
) -> Advisor | OwnClient:
    """Return the advisor on the client of one pool; the parameters are those of `Advisor`.

    ``imported`` has the imported modules of frameworks.
    """
    own = own_client(provider if any_llm else None, library)
    if own is not None and library == "aiohttp" and LITELLM in imported and not any_llm:
        return LITELLMS
    framework = None if any_llm else _framework(provider, imported)
    if framework and synchronous and not (framework.synchronous or framework.numbers):
        framework = None
    return own or Advisor(provider, library, gluellm, synchronous, any_llm, framework)


def _framework(provider: str | None, imported: Collection[str]) -> Framework | None:
    """Return the only framework in the process that calls the provider's SDK."""
    builder = families.FAMILY_OF.get(provider or "", families.Family()).builder or ""
    return the_only(imported, builder.partition(".")[0])


def without_retries(provider: str | None, imported: Collection[str] = ()) -> str:
    """Return how to switch off the retries of the provider's SDK."""
    if framework := _framework(provider, imported):
        return framework.line("max_retries=0")
    family = families.FAMILY_OF.get(provider or "", families.Family())
    return f"{family.retries} of the SDK's client"


@dataclass(frozen=True, slots=True)
class Advisor:
    """Advice on a client of any-llm, httpx or httpx2, as sentences without a final full stop."""

    provider: str | None
    library: str
    gluellm: bool
    """Whether GlueLLM is in the process."""
    synchronous: bool = False
    """Whether synchronous code uses the pool. any-llm's providers use no synchronous httpx client,
    so the application built it, or an SDK that the application calls."""
    any_llm: bool = True
    """Whether any-llm is in the process. If not, it has built no client."""
    framework: Framework | None = None
    """The only framework in the process that calls the provider's SDK."""

    def allow(self, size: int | str, argument: str = "limit") -> str:
        """Advise how to allow ``size`` connections.

        ``argument`` is the name of the limit in a client of aiohttp.
        """
        own = self._configured(
            {providers.MAX_CONNECTIONS: size, providers.MAX_KEEPALIVE_CONNECTIONS: size},
            self._client(f"limits={self._limits(size)}", size, argument),
        )
        settings = (
            f"set GLUELLM_HTTP_MAX_CONNECTIONS={size} and "
            f"GLUELLM_HTTP_MAX_KEEPALIVE_CONNECTIONS={size} before the program starts"
        )
        return f"Allow {size} connections: {self._under_gluellm(settings, own)}"

    limit = allow
    """Advise how to limit a pool that has no limit. Other libraries' clients may not support it."""

    def wait_at_most(self, wait: int, maximum: int | None, read: float = 600.0) -> str:
        """Advise how to set a pool timeout of ``wait`` seconds and keep the other settings."""
        own = self._timed(read, maximum, f", pool={wait}")
        own = self._configured({providers.POOL_TIMEOUT: wait}, own)
        settings = (
            f"GLUELLM_DEFAULT_POOL_TIMEOUT={wait} (60 by default, GLUELLM_MAX_POOL_TIMEOUT caps it)"
        )
        return f"Set a pool timeout of a few seconds: {self._under_gluellm(settings, own)}"

    def read_at_most(self, read: int, maximum: int | None, verb: str = "Raise the") -> str:
        """Advise how to set a read timeout of ``read`` seconds."""
        own = self._botocore(f"read_timeout={read}") or self._timed(read, maximum)
        settings = f"GLUELLM_DEFAULT_REQUEST_TIMEOUT={read}"
        return f"{verb} read timeout: {self._under_gluellm(settings, own)}"

    def _timed(self, read: float, maximum: int | None, pool: str = "") -> str:
        timeout = f"timeout={self._module}.Timeout({read:g}, connect=5{pool})"
        family, framework = families.FAMILY_OF.get(self.provider or ""), self.framework
        if family and family.milliseconds:
            only = family.milliseconds.format(round(1000 * read))
            own = f"{only} of its client, or {timeout} of your own {self._module}.{self._kind}"
            own = own if self._applications else f'AnyLLM.create("{self.provider}", {only})'
            return f"the SDK has one timeout for all waits, in milliseconds: {own}"
        if self._applications:
            if framework and not (framework.numbers and pool):
                line = framework.line(f"timeout={read:g}" if framework.numbers else timeout)
                return f"{line}, or timeout= of a client of the SDK itself"
            # Behind a gateway or a proxy, the provider is unknown.
            sdks = "SDK's client, or of your " if family is None or family.takes_timeout else ""
            return f"{timeout} of the {sdks}{self._module}.{self._kind}"
        if self._family.takes_timeout:
            return f'AnyLLM.create("{self.provider}", {timeout})'
        return self._client(f"{timeout}, limits={self._limits(maximum)}")

    def _under_gluellm(self, settings: str, own: str) -> str:
        if not self.may_be_gluellms:
            return own
        return f"under GlueLLM, {settings}; for a client that is not GlueLLM's, {own}"

    def keep_idle(self, expiry: int, maximum: int | None) -> str:
        """Advise how to keep idle connections for ``expiry`` seconds in a pool of ``maximum``."""
        if self.library == "urllib3":
            return "urllib3 has no setting for this, so send a failed request again (botocore does)"
        limits = self._limits(maximum, f"keepalive_expiry={expiry}")
        own = self._client(f"limits={limits}", expiry, f"limit={maximum or 0}, keepalive_timeout")
        return self._configured({providers.KEEPALIVE_EXPIRY: expiry}, own)

    def keep(self, size: int) -> str:
        """Advise how to keep ``size`` idle connections in a pool without another limit."""
        own = self._botocore(f"max_pool_connections={size}")
        limit = f"max_keepalive_connections={size}"
        if not own and self.provider is not None and not self._applications:
            own = f'only configure_pools({limit}, provider="{self.provider}") sets that'
        own = own or self._client(f"limits={self._limits(None, limit)}")
        return f"Keep {size} connections: {own}"

    def probe_idle(self, maximum: int | None) -> str:
        """Advise how to turn SO_KEEPALIVE on in a pool of ``maximum`` connections.

        Sets the idle time as well, since the system's default is two hours. ``TCP_KEEPIDLE`` is
        Linux's name; macOS calls it ``TCP_KEEPALIVE``.
        """
        if self._family is families.ANTHROPIC:
            return (
                "the client that the anthropic SDK builds by itself, or "
                "anthropic.DefaultAsyncHttpxClient(...), turns it on"
            )
        return self._botocore("tcp_keepalive=True") or self._client(
            f"transport={self._module}.{self._kind.removesuffix('Client')}HTTPTransport("
            f"limits={self._limits(maximum)}, "
            f"socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), "
            f"(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)])"
        )

    def without_http2(self, maximum: int | None) -> str:
        """Advise how to use HTTP/1.1 on at most ``maximum`` connections."""
        return self._client(f"http2=False, limits={self._limits(maximum)}")

    def keep_instance(self) -> str:
        """Advise how to use one pool instead of one per call."""
        if self.may_be_gluellms:
            return (
                "Run all calls in one event loop, asyncio.run(main()) once for the program, or "
                "await gluellm.close_providers() before a loop ends. GlueLLM keeps a client for "
                "each event loop"
            )
        name = self.provider
        if name is None or self._applications:
            sdk = ", or one client of the SDK," if name is not None else ""
            return (
                f"Build one {self._module}.{self._kind}{sdk} when the program starts, and use it "
                "for all calls"
            )
        if name in families.OWN_POOL_PER_CALL:
            return (
                f"any-llm's {name} provider builds a client for each call by itself: make fewer "
                f"calls at a time, or use another provider of the model"
            )
        return (
            f'Keep one instance, llm = AnyLLM.create("{name}"), for the life of the program. '
            "Call llm.acompletion(...), not any_llm.acompletion(...), which builds a client for "
            "each call"
        )

    def one_loop(self) -> str:
        """Advise how to use a client in one event loop only."""
        if self._applications:
            return LOOP_PER_CLIENT
        closing = ", or await gluellm.close_providers() before a loop ends" if self.gluellm else ""
        return f"{ONE_LOOP}{closing}, or use any-llm's sync API: llm.completion(...)"

    def end_answers(self) -> str:
        """Advise how to end responses so that they release their connections."""
        if self.library == "grpc":
            return GRPC.end
        # any-llm's streams are generators: closing one that never ran does not close its response.
        # Those of openai and anthropic have no aclose() before openai 3, and are context managers.
        block = "async with contextlib.aclosing(stream)"
        others = "Don't request a stream that you don't read"
        sign, wait = ("", "") if self.synchronous else ("async ", "await ")
        if self.framework and self.framework.lazy:
            block = f"{sign}with contextlib.{sign[:1]}closing(stream)"
        elif self._applications:
            block = f"{sign}with stream"
            others = (
                f"With httpx itself, write `{sign}with client.stream(...) as response:` instead. "
                f"If a generator or task reads the stream, end that as well: `{sign}with "
                f"contextlib.{sign[:1]}closing(generator):`{wait and ' or task.cancel()'}. "
                f"Close a stream that you don't read: {wait}stream.close()"
            )
        return (
            f"Write `{block}:` above the loop that reads the stream, and indent the loop. This "
            f"closes the stream even if the loop breaks, returns or raises. {others}"
        )

    def _botocore(self, option: str) -> str:
        """Return how to set an option of botocore; empty for providers without botocore."""
        if self._family is not families.BOTOCORE:
            return ""
        return f'AnyLLM.create("{self.provider}", config=botocore.config.Config({option}))'

    @property
    def _applications(self) -> bool:
        """Whether the application built the client, or an SDK that the application calls."""
        return self.library in ("httpx", "httpx2") and (self.synchronous or not self.any_llm)

    @property
    def _kind(self) -> str:
        return "Client" if self._applications and self.synchronous else "AsyncClient"

    @property
    def _family(self) -> families.Family:
        family = families.FAMILY_OF.get(self.provider or "", families.Family("{client}"))
        if not self._applications:
            return family
        builder = family.builder
        if builder is not None and self.synchronous:
            builder = builder.replace("Async", "")
        return families.Family("{client}", builder=builder)

    @property
    def _module(self) -> str:
        module = self._family.module or self.library
        return module if module in ("httpx", "httpx2") else "httpx"

    def _limits(self, maximum: int | str | None, more: str = "") -> str:
        """Return a ``Limits`` expression. It names ``max_connections``: the default is no limit."""
        arguments = f"max_connections={maximum}" + (f", {more}" if more else "")
        return f"{self._module}.Limits({arguments})"

    def _configured(self, limits: Mapping[str, int | str], own: str) -> str:
        """Put ``configure_pools()`` before the advice ``own`` if it supports one of the limits.

        It has no effect on clients that the application or each call builds: then return ``own``.
        """
        provider = self.provider or ""
        if provider in families.OWN_POOL_PER_CALL or self._applications:
            return own
        there = [
            f"{name}={value}"
            for name, value in limits.items()
            if providers.has_limit(provider, name)
            # urllib3 has one number for open and idle connections.
            and not (name == providers.MAX_KEEPALIVE_CONNECTIONS and self.library == "urllib3")
        ]
        if not there:
            return own
        call = f'configure_pools(provider="{provider}", {", ".join(there)})'
        # botocore's pools have no pool timeout.
        if self._family is families.NO_CLIENT or (
            self._family is families.BOTOCORE and providers.POOL_TIMEOUT in limits
        ):
            return f"{call}, since there is no other way to limit its client"
        return f"{call} if any-llm builds the client, or {own}"

    @property
    def may_be_gluellms(self) -> bool:
        """Whether GlueLLM may have built the client."""
        return (
            not self._applications
            and self.gluellm
            and self.library == "httpx"
            and self.provider in GLUELLM_PROVIDERS
        )

    def _client(self, arguments: str, size: int | str = "N", argument: str = "limit") -> str:
        """Advise where to pass a client with these arguments, or ``size`` and ``argument``."""
        family = self._family
        if family.instead is not None:
            return family.instead.format(provider=self.provider, size=size, argument=argument)
        if family.timeout is not None and "timeout=" not in arguments:
            arguments = f"timeout={family.timeout}, {arguments}"
        builder = family.builder or f"{self._module}.{self._kind}"
        how = family.how.format(client=f"{builder}({arguments})", arguments=arguments)
        if self._applications:
            if (framework := self.framework) and not framework.numbers:
                client = framework.synchronous if self.synchronous else framework.client
                line = framework.line(client.format(how))
                return f"{line}, or http_client= of a client of the SDK itself"
            if family.builder is not None:
                plain = f"{self._module}.{self._kind}"
                return f"{how} as http_client= of the SDK's client, or {plain} with its arguments"
            sdks = families.FAMILY_OF.get(self.provider or "", family)
            if sdks is family or sdks is families.HUGGINGFACE or "{client}" not in sdks.how:
                return how
            takes = sdks.how.format(client="...").removesuffix("...")
            takes = takes.replace("async_", "") if self.synchronous else takes
            return f"{how}, which the SDK's client takes as {takes}"
        if self.provider in families.FAMILY_OF and family is not families.HUGGINGFACE:
            how = f'AnyLLM.create("{self.provider}", {how})'
        return f"{how}. {family.note}".removesuffix(".") if family.note else how

"""Configuration of limits from code and from the environment."""

from __future__ import annotations

import enum
import importlib.util
import os
import sys
import threading

from .. import environment
from ..allowed import BOOLEAN
from ..attribution.any_llm import AnyLLMAttribution, supported_providers
from ..concurrency import in_forked_child
from ..environment import APPLY_HTTPX_ENV, HTTPX_VARIABLES, LIMIT_VARIABLES, PROVIDER
from ..failures import warn_once
from ..patching import LIMITS_MARK
from ..providers import LIMITS, PROVIDERS, libraries_of
from ..text import one_line
from .pools import PoolLimits
from .scope import LimitScope
from .settings import (
    LimitSettings,
    Source,
    Value,
    check_provider,
    checked,
    from_variable,
    no_limits,
)


def configure_pools(
    *,
    max_connections: int | None = None,
    max_keepalive_connections: int | None = None,
    keepalive_expiry: float | None = None,
    pool_timeout: float | None = None,
    provider: str | None = None,
    apply_httpx_env: bool = False,
) -> None:
    """Set the limits of the pools that any-llm builds from now on.

    The names are httpx's (https://www.python-httpx.org/advanced/resource-limits/). Each limit
    applies to the libraries that have it:

    - ``max_connections``, 1 to 100 000: open connections of a pool. httpx and httpx2; aiohttp's
      ``limit``; urllib3's ``maxsize`` with ``block``, per host.
    - ``max_keepalive_connections``, 1 to 100 000: idle connections to keep. httpx and httpx2;
      urllib3's ``maxsize``, unless ``max_connections`` sets it.
    - ``keepalive_expiry``, seconds up to a day: how long to keep an idle connection. httpx and
      httpx2; aiohttp's ``keepalive_timeout``.
    - ``pool_timeout``, seconds up to a day: the longest wait for a connection. httpx and httpx2,
      which then raise ``PoolTimeout``; urllib3 with ``max_connections``: ``EmptyPoolError``.

    ``provider`` is any-llm's key and restricts the limits to that provider. Several calls add up:
    for each limit the last value applies, and one for the provider takes precedence over one for
    all providers.

    ``apply_httpx_env`` also applies ``HTTPX_MAX_CONNECTIONS`` and
    ``HTTPX_MAX_KEEPALIVE_CONNECTIONS``, which no library reads, unless a call or an
    ``OTEL_PYTHON_GLUELLM_POOL_*`` variable sets that limit. Without arguments, the limits are those
    of ``OTEL_PYTHON_GLUELLM_POOL_MAX_CONNECTIONS`` and its siblings, as with ``instrument()``.

    Settings of the user for a client take precedence: a client or transport that is passed to
    any-llm (GlueLLM does so for openai and anthropic), and ``limits=``, ``timeout=``, ``config=``
    and the like in ``AnyLLM.create``. Defaults of the SDKs do not. Existing pools keep their
    limits.

    Raises ValueError, before anything changes, for a number out of range, for limits that
    contradict each other, for a provider that any-llm doesn't have, for a limit that the provider's
    library doesn't have, and if nothing is given. Raises ImportError if any-llm is not installed. A
    wrong environment variable is logged as a warning and ignored.
    """
    numbers = (max_connections, max_keepalive_connections, keepalive_expiry, pool_timeout)
    given = {name: n for name, n in zip(LIMITS, numbers, strict=True) if n is not None}
    if not BOOLEAN.accepts(apply_httpx_env):
        raise ValueError(
            f"apply_httpx_env={one_line(repr(apply_httpx_env))}: allowed is True or False"
        )
    if not given and not apply_httpx_env:
        if provider is not None or not environment.limits_asked_for(os.environ):
            raise ValueError(
                f"no limit is given: give {', '.join(LIMITS)} or apply_httpx_env=True, or set "
                f"{LIMIT_VARIABLES[LIMITS[0]]} or another limit in the environment"
            )
        _require_any_llm()
        configure_from_environment()
        return
    _require_any_llm()
    key = _provider_key(provider)
    values = {name: checked(name, number, key) for name, number in given.items()}
    with _state.lock:
        settings = _state.settings.with_values(key, Source.CODE, values)
        if apply_httpx_env:
            settings = _with_httpx(settings, key)
        _state.put(settings)


def configure_from_environment() -> None:
    """Apply the limits that the environment sets. Wrong variables are logged and ignored."""
    if not _has_any_llm():
        return
    texts = environment.limits_in(os.environ)
    provider = texts.pop(PROVIDER, None)
    apply_httpx_env = _flag(texts.pop(APPLY_HTTPX_ENV, "false"))
    try:
        key = _provider_key(provider)
    except ValueError as error:
        warn_once(f"Limits from the environment are not used. {LIMIT_VARIABLES[PROVIDER]}: {error}")
        return
    with _state.lock:
        settings = _state.settings.without(Source.ENVIRONMENT)
        for name, text in texts.items():
            try:
                value = from_variable(name, LIMIT_VARIABLES[name], text, key)
                settings = settings.with_values(key, Source.ENVIRONMENT, {name: value})
            except ValueError as error:
                warn_once(f"{LIMIT_VARIABLES[name]} is not used: {error}")
        if apply_httpx_env:
            try:
                settings = _with_httpx(settings, key)
            except ValueError as error:
                warn_once(f"{LIMIT_VARIABLES[APPLY_HTTPX_ENV]} is not used: {error}")
        _state.put(settings)


def reset_pools() -> None:
    """Remove all limits, and restore what was replaced in any-llm and the libraries.

    Existing pools keep their numbers of connections and their expiry, and use the pool timeout of
    their SDK again. Does nothing if no limit is configured.
    """
    with _state.lock:
        _state.reset()


class _State:
    """Limits and patches in effect in this process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.settings = LimitSettings()
        self._pools = PoolLimits(_failed)
        self._any_llm = AnyLLMAttribution(
            _failed,
            make_scope=lambda: LimitScope(_failed, lambda provider: self.settings.of(provider)),
            mark=LIMITS_MARK,
        )

    def put(self, settings: LimitSettings) -> None:
        self.settings = settings
        environment.applied.clear()
        environment.applied.update(settings.variables() & {*HTTPX_VARIABLES.values()})
        self._pools.install()
        self._any_llm.install()

    def reset(self) -> None:
        self._any_llm.uninstall()
        self._pools.uninstall()
        self.settings = LimitSettings()
        environment.applied.clear()


def _provider_key(provider: object) -> str | None:
    if isinstance(provider, enum.Enum):
        provider = provider.value
    if provider is None or (isinstance(provider, str) and provider in PROVIDERS):
        return provider
    if not isinstance(provider, str):
        raise ValueError(  # noqa: TRY004  as for every wrong value
            f"provider={one_line(repr(provider))}: allowed is a provider's key in any-llm, such as "
            '"openai"'
        )
    check_provider(provider, supported_providers())
    return provider


def _with_httpx(settings: LimitSettings, provider: str | None) -> LimitSettings:
    """Return the settings with the limits of ``HTTPX_*``.

    They are not checked against each other: httpx itself uses the smaller one.
    """
    for library in libraries_of(provider or ""):
        if not any(name in library.limits for name in HTTPX_VARIABLES):
            raise ValueError(no_limits(provider, library))
    values: dict[str, Value] = {}
    for name, variable in HTTPX_VARIABLES.items():
        text = os.environ.get(variable, "").strip()
        if not text:
            continue
        try:
            values[name] = from_variable(name, variable, text, provider)
        except ValueError as error:
            warn_once(f"{variable} is not used: {error}")
    return settings.with_values(provider, Source.HTTPX_ENVIRONMENT, values, whole=True)


def _flag(text: str) -> bool:
    try:
        return bool(BOOLEAN.parsed(text))
    except ValueError:
        warn_once(
            f"{LIMIT_VARIABLES[APPLY_HTTPX_ENV]}={one_line(repr(text))}: allowed is true, false, 1 "
            "or 0; it is not used"
        )
        return False


def _has_any_llm() -> bool:
    return bool(sys.modules.get("any_llm") or importlib.util.find_spec("any_llm"))


def _require_any_llm() -> None:
    if not _has_any_llm():
        raise ImportError(
            "configure_pools() sets the limits of the pools that any-llm builds, but any-llm is "
            "not installed. Install any-llm-sdk",
            name="any_llm",
        )


def _failed(kind: str, error: Exception) -> None:
    what = one_line(type(error).__qualname__)
    warn_once(f"Could not apply limits: {kind} raised {what}. The client keeps its own limits.")


_state = _State()


@in_forked_child
def _renew_lock() -> None:
    _state.lock = threading.RLock()

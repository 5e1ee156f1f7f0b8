"""Patches that apply limits to the pools that are built inside limited calls, per library.

They set only public parameters of public constructors and methods.

urllib3 builds a pool at its first request, which botocore sends from a thread outside the call's
context. So an object that builds pools later carries the limits of the call in which it was built.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from ..adapters import marks
from ..adapters.urllib3.pools import is_shared
from ..attribution.calls import OnError
from ..attribution.streams import current
from ..patching import LIMITS_MARK, ModulePatches
from ..providers import KEEPALIVE_EXPIRY, MAX_CONNECTIONS, MAX_KEEPALIVE_CONNECTIONS, POOL_TIMEOUT
from .scope import LimitedCall, current_limits, limited_call
from .settings import Values, origin_of

_PATCHES: Mapping[str, Callable[[PoolLimits, Any], None]] = {
    "httpcore": lambda limits, module: limits._httpcore(module),
    "httpcore2": lambda limits, module: limits._httpcore(module),
    "aiohttp": lambda limits, module: limits._aiohttp(module),
    "urllib3": lambda limits, module: limits._urllib3(module),
    # Builds further clients in any thread: any-llm's bedrock has one per timeout.
    "botocore.session": lambda limits, module: limits._carry(module.Session, "create_client"),
    # Builds a manager for a proxy at the first request through it.
    "botocore.httpsession": lambda limits, module: limits._carry(module.URLLib3Session, "send"),
}


class PoolLimits(ModulePatches):
    """Patches on the libraries' pools. Undoing them leaves existing pools as they are."""

    MODULES = tuple(_PATCHES)

    def __init__(self, on_error: OnError) -> None:
        super().__init__(LIMITS_MARK)
        self._on_error = on_error

    def _patch(self, module: Any) -> None:
        name = module.__name__
        try:
            if name in _PATCHES:
                _PATCHES[name](self, module)
        except Exception as error:
            self._on_error(f"limits.{name}", error)

    # Each library

    def _httpcore(self, module: ModuleType) -> None:
        for pool, handle in (
            (module.AsyncConnectionPool, "handle_async_request"),
            (module.ConnectionPool, "handle_request"),
        ):
            marks.give_defaults(pool, marks.LIMITS_FROM, marks.POOL_TIMEOUT)
            self._patches.wrap(pool, "__init__", self._constructor(_for_httpcore, _mark_pool))
            self._patches.wrap(pool, handle, self._request(_with_pool_timeout))

    def _aiohttp(self, module: ModuleType) -> None:
        marks.give_defaults(module.BaseConnector, marks.LIMITS_FROM)
        make = self._constructor(_for_aiohttp, _mark_pool)
        self._patches.wrap(module.BaseConnector, "__init__", make)

    def _urllib3(self, module: ModuleType) -> None:
        pool, manager = module.HTTPConnectionPool, module.PoolManager
        marks.give_defaults(pool, marks.LIMITS_FROM, marks.POOL_TIMEOUT)
        marks.give_defaults(manager, marks.LIMITS)
        self._patches.wrap(manager, "__init__", self._constructor(_for_urllib3, _mark_builder))
        self._patches.wrap(manager, "connection_from_pool_key", self._pool_of_manager)
        index = [*inspect.signature(pool.urlopen).parameters].index("pool_timeout") - 1
        self._patches.wrap(pool, "urlopen", self._request(_urlopen_with_pool_timeout(index)))

    def _carry(self, owner: type, method: str) -> None:
        """Run ``method`` with the limits of the call in which its object was built."""
        marks.give_defaults(owner, marks.LIMITS)
        make = self._constructor(lambda limits, _: limits, _mark_builder)
        self._patches.wrap(owner, "__init__", make)
        self._patches.wrap(owner, method, self._within)

    # Wrappers

    def _constructor(
        self,
        change: Callable[[Values, dict[str, Any]], Values],
        mark: Callable[[Any, Values], None],
    ) -> Callable[[Any], Any]:
        """Return a factory that wraps a constructor.

        ``change`` sets arguments and returns the limits that they apply, which ``mark`` notes.
        """

        def make(original: Any) -> Any:
            signature = inspect.signature(original)
            names = [*signature.parameters][1:]

            def __init__(self_: Any, /, *args: Any, **kwargs: Any) -> None:
                call = limited_call() if self._on else None
                if call is None or not call.limits:
                    return original(self_, *args, **kwargs)  # type: ignore[no-any-return]
                try:
                    signature.bind(self_, *args, **kwargs)
                    arguments = {**dict(zip(names, args, strict=False)), **kwargs}
                    limits = change(call.limits, arguments)
                    signature.bind(self_, **arguments)  # fails if this version lacks an argument
                except Exception as error:
                    self._on_error("limits.constructor", error)
                    return original(self_, *args, **kwargs)  # type: ignore[no-any-return]
                original(self_, **arguments)
                if limits:
                    self._noted(mark, self_, limits)
                return None

            return __init__

        return make

    def _noted(self, mark: Callable[[Any, Values], None], owner: Any, limits: Values) -> None:
        try:
            mark(owner, limits)
        except Exception as error:
            self._on_error("limits.mark", error)

    def _request(
        self, change: Callable[[float, Any, dict[str, Any]], None]
    ) -> Callable[[Any], Any]:
        """Return a factory that wraps a pool's send method, to apply the pool's own timeout."""

        def make(original: Any) -> Any:
            def send(self_: Any, /, *args: Any, **kwargs: Any) -> Any:
                timeout = self_._gluellm_pool_timeout
                if timeout is not None and self._on:
                    try:
                        call = limited_call()
                        if call is None or not call.own_timeout:
                            change(timeout, args, kwargs)
                    except Exception as error:
                        self._on_error("limits.pool_timeout", error)
                return original(self_, *args, **kwargs)

            return send

        return make

    def _pool_of_manager(self, original: Any) -> Any:
        def connection_from_pool_key(self_: Any, /, *args: Any, **kwargs: Any) -> Any:
            pool = original(self_, *args, **kwargs)
            limits = self_._gluellm_limits
            # The manager can build pools of a foreign class, without defaults for the marks.
            if limits is not None and getattr(pool, marks.LIMITS_FROM, None) is None:
                self._noted(_mark_pool, pool, limits)
            return pool

        return connection_from_pool_key

    def _within(self, original: Any) -> Any:
        def within(self_: Any, /, *args: Any, **kwargs: Any) -> Any:
            limits = self_._gluellm_limits
            if limits is None or not self._on or limited_call() is not None or is_shared(self_):
                return original(self_, *args, **kwargs)
            call = LimitedCall("", limits=limits)
            try:
                with current(current_limits, call):
                    return original(self_, *args, **kwargs)
            finally:
                call.ended = True

        return within


# Arguments of each library's constructor


def _set(limits: Values, arguments: dict[str, Any], names: Mapping[str, str]) -> Values:
    """Set the arguments that apply limits, by the limits' names. Return the limits that apply."""
    applied = {limit: limits[limit] for limit in names if limit in limits}
    for limit, value in applied.items():
        arguments[names[limit]] = value.number
    return applied


def _for_httpcore(limits: Values, arguments: dict[str, Any]) -> Values:
    own_names = (MAX_CONNECTIONS, MAX_KEEPALIVE_CONNECTIONS, KEEPALIVE_EXPIRY)
    _set(limits, arguments, {name: name for name in own_names})
    return limits


def _for_aiohttp(limits: Values, arguments: dict[str, Any]) -> Values:
    names = {MAX_CONNECTIONS: "limit"}
    if not arguments.get("force_close"):  # with it, aiohttp raises ValueError for this one
        names[KEEPALIVE_EXPIRY] = "keepalive_timeout"
    return _set(limits, arguments, names)


def _for_urllib3(limits: Values, arguments: dict[str, Any]) -> Values:
    """Set ``maxsize``, which bounds open and idle connections; ``max_connections`` goes first."""
    if MAX_CONNECTIONS not in limits:
        return _set(limits, arguments, {MAX_KEEPALIVE_CONNECTIONS: "maxsize"})
    _set(limits, arguments, {MAX_CONNECTIONS: "maxsize"})
    arguments["block"] = True
    return {name: limits[name] for name in (MAX_CONNECTIONS, POOL_TIMEOUT) if name in limits}


# Marks on built objects


def _mark_pool(pool: Any, limits: Values) -> None:
    setattr(pool, marks.LIMITS_FROM, origin_of(limits))
    if POOL_TIMEOUT in limits:
        setattr(pool, marks.POOL_TIMEOUT, limits[POOL_TIMEOUT].number)


def _mark_builder(builder: Any, limits: Values) -> None:
    setattr(builder, marks.LIMITS, limits)


# The pool timeout of a request


def _with_pool_timeout(timeout: float, args: Any, kwargs: dict[str, Any]) -> None:
    """Set httpcore's pool timeout in a copy of the extensions, which belong to the caller."""
    request = args[0] if args else kwargs["request"]
    timeouts = request.extensions.get("timeout") or {}
    request.extensions = {**request.extensions, "timeout": {**timeouts, "pool": timeout}}


def _urlopen_with_pool_timeout(index: int) -> Callable[[float, Any, dict[str, Any]], None]:
    def change(timeout: float, args: Any, kwargs: dict[str, Any]) -> None:
        if len(args) <= index and kwargs.get("pool_timeout") is None:
            kwargs["pool_timeout"] = timeout

    return change

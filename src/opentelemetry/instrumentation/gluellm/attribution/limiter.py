"""Waits in GlueLLM's rate limiter, which come before any pool.

Verified with gluellm 1.11. Each attempt of a call awaits ``acquire_rate_limit(key)``. The key is
``global:<provider>``, unless the call has an API key of its own. By default the limiter admits 60
attempts per minute and key. ``gluellm.api`` and ``gluellm.embeddings`` import the function as a
global and look it up at each call, so it is replaced there and not where it is defined. Waits for
the key pool and for a batch's semaphore are not observed.
"""

from __future__ import annotations

import inspect
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..concurrency import snapshot_of
from ..failures import raise_on
from ..patching import PatchSet, when_imported
from ..providers import PROVIDERS

HOOK = "rate_limiter"
LOST: Mapping[str, str] = {HOOK: "calls that wait in GlueLLM's rate limiter"}
"""The hook, with what is not observed without it (text for a warning)."""
_MODULES = ("gluellm.api", "gluellm.embeddings")
_FUNCTION = "acquire_rate_limit"
_LIMITER = "gluellm.rate_limiting.rate_limiter"
_GLOBAL_KEY = "global:"
_SHORTEST = 10**7
"""Nanoseconds of GlueLLM's shortest pause; an attempt that took less did not wait."""


@dataclass(frozen=True, slots=True)
class LimitedCalls:
    """Attempts to call one provider that waited in the limiter."""

    provider: str | None
    """any-llm's key; None for calls with an API key of their own and for unknown providers."""
    waiting: int
    """Attempts that are waiting now."""
    longest: float
    """Seconds that the oldest waiting attempt has waited; 0 if none is waiting."""
    waited: int
    """Attempts that have waited so far, including those that are waiting now."""
    seconds: float
    """Total seconds that the attempts in ``waited`` have waited so far."""


class _Wait:
    __slots__ = ("provider", "since")

    def __init__(self, provider: str | None, since: int) -> None:
        self.provider = provider
        self.since = since


class _Waited:
    __slots__ = ("attempts", "spent")

    def __init__(self) -> None:
        self.attempts = 0
        self.spent = 0


def _ignore(found: dict[str, bool]) -> None:
    pass


class RateLimiterObserver:
    """Counter of attempts that wait in GlueLLM's rate limiter. Active once GlueLLM is imported.

    ``on_error`` is called with the kind and the exception of each caught failure of the
    instrumentation; the application's call continues. ``clock`` returns monotonic nanoseconds.
    """

    def __init__(
        self,
        on_error: Callable[[str, BaseException], None],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._on_error = on_error
        self._clock = clock
        self._lock = threading.RLock()
        self._patches = PatchSet()
        self._on = False
        self._hooked = False
        self._found: dict[str, bool] = {}
        self._waits: dict[_Wait, None] = {}
        self._waited: dict[str | None, _Waited] = {}
        self.on_hooks: Callable[[dict[str, bool]], None] = _ignore
        """Callback for the hooks, called each time that a module of GlueLLM is patched."""

    def install(self) -> None:
        """Replace the function now, or as soon as GlueLLM is imported."""
        self._on = True
        if self._hooked:
            for name in _MODULES:
                if name in sys.modules:
                    self._patch(sys.modules[name])
            return
        self._hooked = True
        for name in _MODULES:
            when_imported(name, self._patch)

    def uninstall(self) -> None:
        """Restore the identical function. Waits in progress continue and are not counted."""
        self._on = False
        self._patches.undo()
        self._found.clear()
        self.forget()

    def forget(self) -> None:
        """Discard all waits. In a forked child they belong to the parent."""
        self._lock = threading.RLock()  # its holder may not exist in the child
        self._waits.clear()
        self._waited.clear()

    def hooks(self) -> dict[str, bool]:
        """Return whether the installed GlueLLM has the hook. Empty until it is imported."""
        return dict(self._found)

    def limited(self) -> tuple[LimitedCalls, ...]:
        """Return waiting and past attempts by provider."""
        now = self._clock()
        waits = [wait for wait in snapshot_of(self._waits.keys) if now - wait.since >= _SHORTEST]
        waited = dict(snapshot_of(self._waited.items))
        found = []
        for provider in dict.fromkeys((*waited, *(wait.provider for wait in waits))):
            ages = [now - wait.since for wait in waits if wait.provider == provider]
            past = waited.get(provider) or _Waited()
            found.append(
                LimitedCalls(
                    provider,
                    waiting=len(ages),
                    longest=max(ages, default=0) / 1e9,
                    waited=past.attempts + len(ages),
                    seconds=(past.spent + sum(ages)) / 1e9,
                )
            )
        return tuple(found)

    def _patch(self, module: Any) -> None:
        with self._lock:
            if not self._on:
                return
            works = self._replace(module)
            self._found[HOOK] = self._found.get(HOOK, True) and works
        self.on_hooks(self.hooks())

    def _replace(self, module: Any) -> bool:
        try:
            original = getattr(module, _FUNCTION, None)
            if not inspect.iscoroutinefunction(original):
                return False
            self._patches.wrap(module, _FUNCTION, self._around)
        except Exception as error:
            raise_on(error)
            self._on_error("attribution.limiter", error)
            return False
        return True

    def _around(self, original: Any) -> Any:
        async def acquire_rate_limit(*args: Any, **kwargs: Any) -> Any:
            wait = self._begin(args, kwargs) if self._on else None
            if wait is None:
                return await original(*args, **kwargs)
            try:
                self._waits[wait] = None
                return await original(*args, **kwargs)
            finally:
                self._end(wait)

        return acquire_rate_limit

    def _begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Wait | None:
        try:
            return _Wait(_provider(args[0] if args else kwargs.get("key")), self._clock())
        except Exception as error:
            self._on_error("attribution.limiter", error)
            return None

    def _end(self, wait: _Wait) -> None:
        # The finalizer rule (pool/lease.py): a dropped coroutine ends here.
        spent = self._clock() - wait.since
        if wait in self._waits and spent >= _SHORTEST:
            waited = self._waited.get(wait.provider)
            if waited is None:
                waited = self._waited.setdefault(wait.provider, _Waited())
            waited.attempts += 1
            waited.spent += spent
        self._waits.pop(wait, None)


def _provider(key: object) -> str | None:
    """Return the provider in a limiter key; None for an unknown one.

    GlueLLM takes the text before the colon of a model name, which can be anything.
    """
    if not isinstance(key, str) or not key.startswith(_GLOBAL_KEY):
        return None
    provider = key.removeprefix(_GLOBAL_KEY)
    return provider if provider in PROVIDERS else None


def calls_per_minute() -> int | None:
    """Return GlueLLM's current limit in calls per minute; None if unknown."""
    settings = getattr(sys.modules.get(_LIMITER), "settings", None)
    limit = getattr(settings, "rate_limit_requests_per_minute", None)
    return limit if isinstance(limit, int) else None

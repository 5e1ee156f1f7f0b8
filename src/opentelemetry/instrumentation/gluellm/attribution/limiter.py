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
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..concurrency import snapshot_of
from ..failures import raise_on
from ..patching import Hooks, ModulePatches, version_of
from ..pool.durations import in_seconds
from ..providers import PROVIDERS

HOOK = "rate_limiter"
LOST: Mapping[str, str] = {HOOK: "calls that wait in GlueLLM's rate limiter"}
"""The hook, with what is not observed without it (text for a warning)."""
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


@dataclass(slots=True, eq=False)
class _Wait:
    provider: str | None
    since: int


@dataclass(slots=True, eq=False)
class _Waited:
    attempts: int = 0
    spent: int = 0


class RateLimiterObserver(ModulePatches):
    """Counter of attempts that wait in GlueLLM's rate limiter. Active once GlueLLM is imported.

    ``on_error`` is called with the kind and the exception of each caught failure of the
    instrumentation; the application's call continues. ``on_hooks`` is called with the hook
    each time that a module of GlueLLM is patched. ``clock`` returns monotonic nanoseconds.
    """

    MODULES = ("gluellm.api", "gluellm.embeddings")

    def __init__(
        self,
        on_error: Callable[[str, BaseException], None],
        on_hooks: Callable[[Hooks], None],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        super().__init__()
        self.hooks: Hooks | None = None
        """The hook of GlueLLM; None until it is imported."""
        self._on_error = on_error
        self._on_hooks = on_hooks
        self._clock = clock
        self._waits: dict[_Wait, None] = {}
        self._waited: dict[str | None, _Waited] = {}

    def uninstall(self) -> None:
        """Restore the identical function. Waits in progress continue and are not counted."""
        super().uninstall()
        self.hooks = None
        self.forget()

    def forget(self) -> None:
        """Discard all waits. In a forked child they belong to the parent."""
        self._waits.clear()
        self._waited.clear()

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
                    longest=in_seconds(max(ages, default=0)),
                    waited=past.attempts + len(ages),
                    seconds=in_seconds(past.spent + sum(ages)),
                )
            )
        return tuple(found)

    def _patch(self, module: Any) -> None:
        if self.hooks is None:
            self.hooks = Hooks("gluellm", version_of("gluellm"), {HOOK: True}, signals=dict(LOST))
        self.hooks.found[HOOK] &= self._replace(module)
        self._on_hooks(self.hooks)

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

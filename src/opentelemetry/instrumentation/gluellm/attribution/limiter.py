"""GlueLLM's rate limiter, in which calls wait before they enter any pool.

Verified with gluellm 1.11. Each attempt of a call awaits ``acquire_rate_limit(key)``, where the key
is ``global:<provider>`` unless the call has an API key of its own. By default it lets 60 attempts a
minute pass for each key. ``gluellm.api`` and ``gluellm.embeddings`` hold the function as a global
that they look up for each call, so it is replaced there, and not where it is defined. Waits of the
key pool and of a batch's semaphore are not observed.
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
"""The hook, with what is lost without it, in words for a warning."""
_MODULES = ("gluellm.api", "gluellm.embeddings")
_FUNCTION = "acquire_rate_limit"
_LIMITER = "gluellm.rate_limiting.rate_limiter"
_GLOBAL_KEY = "global:"
_SHORTEST = 10**7
"""Nanoseconds of GlueLLM's shortest pause. What takes less did not wait."""


@dataclass(frozen=True, slots=True)
class LimitedCalls:
    """Calls to one provider that waited in the limiter. Times are seconds."""

    provider: str | None
    """any-llm's key; None for calls with an API key of their own and for unknown providers."""
    waiting: int
    longest: float
    """Longest time that one of these has waited."""
    waited: int
    """Attempts that waited so far, those that still wait included."""
    seconds: float
    """Time that they waited so far."""


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
    """Counts the calls that wait in GlueLLM's rate limiter.

    Takes effect when GlueLLM is imported. ``on_error`` is called with a kind for each failure of
    the instrumentation that was caught; the call goes on.
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
        """Called with the hooks when GlueLLM has been looked at."""

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
        """Put the identical function back. Waits that are in progress go on uncounted."""
        self._on = False
        self._patches.undo()
        self._found.clear()
        self.forget()

    def forget(self) -> None:
        """Start anew, as a forked child has to: the waits are the parent's."""
        self._lock = threading.RLock()  # in a child its holder may be a thread that is gone
        self._waits.clear()
        self._waited.clear()

    def hooks(self) -> dict[str, bool]:
        """Whether the installed GlueLLM has the hook. Empty until it is imported."""
        return dict(self._found)

    def limited(self) -> tuple[LimitedCalls, ...]:
        """Calls that wait or have waited, by provider."""
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
        # A finalizer can be here: plain numbers only.
        spent = self._clock() - wait.since
        if wait in self._waits and spent >= _SHORTEST:
            waited = self._waited.get(wait.provider)
            if waited is None:
                waited = self._waited.setdefault(wait.provider, _Waited())
            waited.attempts += 1
            waited.spent += spent
        self._waits.pop(wait, None)


def _provider(key: object) -> str | None:
    """any-llm's key of the provider: the text before the colon of a model can be anything."""
    if not isinstance(key, str) or not key.startswith(_GLOBAL_KEY):
        return None
    provider = key.removeprefix(_GLOBAL_KEY)
    return provider if provider in PROVIDERS else None


def calls_per_minute() -> int | None:
    """The limit in effect; None where it is unknown."""
    settings = getattr(sys.modules.get(_LIMITER), "settings", None)
    limit = getattr(settings, "rate_limit_requests_per_minute", None)
    return limit if isinstance(limit, int) else None

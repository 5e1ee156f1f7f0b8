"""GlueLLM's calls, their attempts, and their waits in its rate limiter before a request is made.

Verified with gluellm 1.11. Every entry point reaches ``GlueLLM._llm_call`` or its counterparts for
responses and embeddings. A call makes attempts with pauses between them, and may continue with
another model. When an attempt raises an exception, the call enters `BACKOFF`.

Each attempt awaits ``acquire_rate_limit(key)``. The key is ``global:<provider>``, unless the call
has an API key of its own. By default the limiter admits 60 attempts per minute and key. Waits for
GlueLLM's key pool and for the semaphore of a batch are not observed.

``gluellm.api`` and ``gluellm.embeddings`` look all these functions up as globals at each call. So
the functions are replaced in these modules, not where they are defined.
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
from ..pool.call import CountedCall, LiveCalls
from ..pool.durations import in_seconds
from ..pool.phases import BACKOFF, GLUELLM, LIMITED, PREPARING, SUCCEEDED
from ..providers import PROVIDERS
from .calls import operation_name
from .context import counted_call, current_counted, outer_call
from .streams import hand_over, leave

LOST: Mapping[str, str] = {
    "rate_limiter": "calls that wait in GlueLLM's rate limiter",
    "calls": "calls of GlueLLM as a whole (each attempt counts as a call of any-llm)",
    "attempts": "pauses between GlueLLM's attempts if the last answer was not an error",
}
"""Each hook, with the part that is not observed without it (text for a warning)."""
_LIMIT = "acquire_rate_limit"
_CALLS = {
    "_llm_call": "completion",
    "_llm_call_with_retry": "completion",
    "_llm_responses_call": "responses",
    "_responses_call_with_retry": "responses",
    "_embedding_call_with_retry": "embedding",
}
"""GlueLLM's functions that make a call, outer ones first, with the method of any-llm that they
call."""
_ATTEMPTS = ("_safe_llm_call", "_safe_responses_call", "_safe_embedding_call")
_REQUIRED = {
    "gluellm.api": ("_llm_call_with_retry", "_safe_llm_call"),
    "gluellm.embeddings": ("_embedding_call_with_retry", "_safe_embedding_call"),
}
"""Functions that exist in all known versions. The other functions are more recent."""
_LIMITER = "gluellm.rate_limiting.rate_limiter"
_GLOBAL_KEY = "global:"
_SHORTEST = 10**7
"""GlueLLM's shortest pause in nanoseconds. Time below that in the limiter is not a wait."""


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


class GlueLLMObserver(ModulePatches):
    """Wrappers of GlueLLM's functions, applied once GlueLLM is imported.

    They count the attempts that wait in the rate limiter and, with ``calls``, GlueLLM's calls.
    ``on_error`` receives the kind and the exception of each caught failure of the instrumentation;
    the application's call continues. ``on_hooks`` receives the hooks each time that a module of
    GlueLLM is patched. ``clock`` returns monotonic nanoseconds.
    """

    MODULES = tuple(_REQUIRED)

    def __init__(
        self,
        on_error: Callable[[str, BaseException], None],
        on_hooks: Callable[[Hooks], None],
        clock: Callable[[], int] = time.monotonic_ns,
        calls: LiveCalls | None = None,
    ) -> None:
        super().__init__()
        self.hooks: Hooks | None = None
        """The hooks of GlueLLM; None until it is imported."""
        self._calls = calls
        self._on_error = on_error
        self._on_hooks = on_hooks
        self._clock = clock
        self._waits: dict[_Wait, None] = {}
        self._waited: dict[str | None, _Waited] = {}

    def uninstall(self) -> None:
        """Restore the original functions. Waits in progress continue and are not counted."""
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
        hooks = self.hooks
        if hooks is None:
            names = LOST if self._calls is not None else ("rate_limiter",)
            found = dict.fromkeys(names, True)
            hooks = self.hooks = Hooks("gluellm", version_of("gluellm"), found, dict(LOST))
        hooks.found["rate_limiter"] &= self._wrap(module, _LIMIT, self._around_limit)
        if self._calls is not None:
            call, attempt = _REQUIRED[module.__name__]
            done = {name for name in _CALLS if self._wrap_call(module, name)}
            done |= {name for name in _ATTEMPTS if self._wrap(module, name, self._around_attempt)}
            hooks.found["calls"] &= call in done
            hooks.found["attempts"] &= attempt in done
        self._on_hooks(hooks)

    def _wrap_call(self, module: Any, name: str) -> bool:
        owner = module if hasattr(module, name) else getattr(module, "GlueLLM", None)
        operation = operation_name(_CALLS[name])
        return self._wrap(owner, name, lambda original: self._around_call(original, operation))

    def _wrap(self, owner: Any, name: str, around: Callable[[Any], Any]) -> bool:
        try:
            # Not getattr: a wrapper would give a static method an argument too many.
            if not inspect.iscoroutinefunction(inspect.getattr_static(owner, name, None)):
                return False
            self._patches.wrap(owner, name, around)
        except Exception as error:
            raise_on(error)
            self._on_error("attribution.gluellm", error)
            return False
        return True

    # Calls

    def _around_call(self, original: Any, operation: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            counted = self._begin_call(operation, args, kwargs)
            if counted is None:
                return await original(*args, **kwargs)
            token = current_counted.set(counted)
            try:
                counted.start()
                result = await original(*args, **kwargs)
                if not hand_over(result, counted):
                    counted.end(SUCCEEDED)
                return result
            except BaseException as error:
                counted.end_by(error)
                raise
            finally:
                leave(token)

        return call

    def _begin_call(
        self, operation: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> CountedCall | None:
        """Return a new call; None inside another call, or if calls are not counted."""
        if not self._on or self._calls is None:
            return None
        try:
            if outer_call() is not None:
                return None
            model = kwargs.get("model") or getattr(args[0] if args else None, "model", None)
            return self._calls.begin(
                GLUELLM,
                operation,
                provider=_provider_of_model(model),
                streamed=kwargs.get("stream") is True,
            )
        except Exception as error:
            raise_on(error)
            self._on_error("attribution.gluellm", error)
            return None

    def _around_attempt(self, original: Any) -> Any:
        async def attempt(*args: Any, **kwargs: Any) -> Any:
            counted = counted_call() if self._on else None
            if counted is None:
                return await original(*args, **kwargs)
            try:
                counted.attempt()
                return await original(*args, **kwargs)
            except BaseException:
                counted.enter(BACKOFF)
                raise

        return attempt

    # The rate limiter

    def _around_limit(self, original: Any) -> Any:
        async def acquire_rate_limit(*args: Any, **kwargs: Any) -> Any:
            wait = self._begin(args, kwargs) if self._on else None
            if wait is None:
                return await original(*args, **kwargs)
            counted = counted_call()
            try:
                self._waits[wait] = None
                if counted is not None:
                    counted.enter(LIMITED)
                return await original(*args, **kwargs)
            finally:
                self._end(wait)
                if counted is not None:
                    counted.enter(PREPARING)

        return acquire_rate_limit

    def _begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Wait | None:
        try:
            return _Wait(_provider(args[0] if args else kwargs.get("key")), self._clock())
        except Exception as error:
            self._on_error("attribution.gluellm", error)
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


def _provider_of_model(model: object) -> str | None:
    """Return the provider in a model's name, ``openai:gpt-5`` for example; None if unknown."""
    if not isinstance(model, str):
        return None
    provider = model.replace("/", ":").partition(":")[0].lower()
    return provider if provider in PROVIDERS else None


def calls_per_minute() -> int | None:
    """Return GlueLLM's current limit in calls per minute; None if unknown."""
    settings = getattr(sys.modules.get(_LIMITER), "settings", None)
    limit = getattr(settings, "rate_limit_requests_per_minute", None)
    return limit if isinstance(limit, int) else None

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
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from ..patching import Hooks, ModulePatches, version_of
from ..pool.call import CountedCall, LiveCalls
from ..providers import PROVIDERS
from ..vocabulary import BACKOFF, GLUELLM, LIMITED, PREPARING, SUCCEEDED
from .calls import correlation_id, operation_name
from .context import counted_call, current_counted, outer_call
from .streams import hand_over, leave

LOST: Mapping[str, str] = {
    "rate_limiter": "calls that wait in GlueLLM's rate limiter",
    "calls": "calls of GlueLLM as a whole (each attempt then counts as a call)",
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
_latest_id: ContextVar[str | None] = ContextVar("gluellm_latest_id", default=None)
"""Correlation id of the latest call. ``complete()`` sets one for all calls of its tool loop."""


class GlueLLMObserver(ModulePatches):
    """Wrappers of GlueLLM's functions, applied once GlueLLM is imported, which count its ``calls``.

    ``on_error`` receives the kind and the exception of each caught failure of the instrumentation;
    the application's call continues. ``on_hooks`` receives the hooks each time that a module of
    GlueLLM is patched.
    """

    MODULES = tuple(_REQUIRED)

    def __init__(
        self,
        on_error: Callable[[str, BaseException], None],
        on_hooks: Callable[[Hooks], None],
        calls: LiveCalls,
    ) -> None:
        super().__init__()
        self.hooks: Hooks | None = None
        """The hooks of GlueLLM; None until it is imported."""
        self._calls = calls
        self._on_error = on_error
        self._on_hooks = on_hooks

    def uninstall(self) -> None:
        """Restore the original functions. Calls in progress continue."""
        super().uninstall()
        self.hooks = None

    def _patch(self, module: Any) -> None:
        hooks = self.hooks
        if hooks is None:
            found = dict.fromkeys(LOST, True)
            hooks = self.hooks = Hooks("gluellm", version_of("gluellm"), found, dict(LOST))
        hooks.found["rate_limiter"] &= self._wrap(module, _LIMIT, self._around_limit)
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
        """Return a new call; None inside another call."""
        if not self._on:
            return None
        try:
            if outer_call() is not None:
                return None
            found = correlation_id()
            model = kwargs.get("model") or getattr(args[0] if args else None, "model", None)
            counted = self._calls.begin(
                GLUELLM,
                operation,
                provider=_provider_of_model(model),
                streamed=kwargs.get("stream") is True,
            )
            counted.turn = found is not None and found == _latest_id.get()
            _latest_id.set(found)
            return counted
        except Exception as error:
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

    def _around_limit(self, original: Any) -> Any:
        async def acquire_rate_limit(*args: Any, **kwargs: Any) -> Any:
            counted = counted_call() if self._on else None
            if counted is None:
                return await original(*args, **kwargs)
            try:
                counted.enter(LIMITED)
                return await original(*args, **kwargs)
            finally:
                counted.enter(PREPARING)

        return acquire_rate_limit


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

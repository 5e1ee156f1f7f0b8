"""Pauses between the retries of an SDK, the exact sign that a call backs off.

SDKs that Stainless generates have a method ``_sleep_for_retry``, in the base classes of their sync
and async clients. Verified with openai 3.57, anthropic 0.125, groq 1.7, cerebras 1.91 and together
2.36. Versions without it (openai up to 1.60, anthropic 0.20, groq 0.20) need no warning: the status
of the last request then shows whether a call backs off, as with SDKs of other kinds.
"""

from __future__ import annotations

import inspect
from typing import Any

from ..failures import raise_on
from ..patching import ModulePatches
from ..pool.call import CountedCall
from ..pool.phases import BACKOFF, PREPARING
from .calls import OnError
from .context import counted_call

_METHOD = "_sleep_for_retry"
_SDKS = ("anthropic", "cerebras.cloud.sdk", "fireworks", "groq", "openai", "together")


class RetryPauses(ModulePatches):
    """Wrappers of the pauses, applied as soon as an SDK is imported.

    ``on_error`` is called with the kind and the exception of each caught failure of the
    instrumentation.
    """

    MODULES = tuple(f"{sdk}._base_client" for sdk in _SDKS)
    hooks = None

    def __init__(self, on_error: OnError) -> None:
        super().__init__()
        self._on_error = on_error

    def _patch(self, module: Any) -> None:
        for name in ("SyncAPIClient", "AsyncAPIClient"):
            base = getattr(module, name, None)
            if isinstance(base, type) and callable(getattr(base, _METHOD, None)):
                self._cover(base)
                self._patches.follow_subclasses(base, self._cover)

    def _cover(self, cls: type) -> None:
        # A wrapper would give a class or a static method an argument too many.
        if not inspect.isfunction(cls.__dict__.get(_METHOD)):
            return
        try:
            self._patches.wrap(cls, _METHOD, self._around)
        except Exception as error:
            raise_on(error)
            self._on_error("attribution.pauses", error)

    def _around(self, original: Any) -> Any:
        if inspect.iscoroutinefunction(original):

            async def pause(*args: Any, **kwargs: Any) -> Any:
                counted = self._begin()
                try:
                    return await original(*args, **kwargs)
                finally:
                    _end(counted)

            return pause

        def pause_sync(*args: Any, **kwargs: Any) -> Any:
            counted = self._begin()
            try:
                return original(*args, **kwargs)
            finally:
                _end(counted)

        return pause_sync

    def _begin(self) -> CountedCall | None:
        counted = counted_call() if self._on else None
        if counted is not None:
            counted.enter(BACKOFF)
        return counted


def _end(counted: CountedCall | None) -> None:
    if counted is not None:
        counted.enter(PREPARING)

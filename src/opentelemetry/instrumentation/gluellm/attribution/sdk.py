"""Calls of an SDK that the application uses directly: the common part of the hooks of all SDKs.

A call begins when the SDK's request function does, unless it runs inside another call, of any-llm
for example. It ends when that function raises, or with the response that it returns.
"""

from __future__ import annotations

import functools
import inspect
from abc import abstractmethod
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, ClassVar

from ..failures import raise_on
from ..patching import Hooks, ModulePatches, version_of
from ..pool.call import Call, LiveCalls
from ..pool.call_site import CallSite, Near
from ..vocabulary import BACKOFF, SDK
from .calls import OnError, model_text
from .context import NO_CALL, current_call, current_counted, outer_call
from .hosts import Naming
from .streams import AsyncStream, Hold, SyncStream, current

HELD = "_gluellm_call"
"""Attribute of an SDK's response whose body is open: ends the call when both are dropped."""

Described = tuple["str | None", str, "str | None", bool]
"""Provider (any-llm's key; None if unknown), operation and model of a call, and whether it is
streamed."""


class SdkCalls(ModulePatches):
    """Wrappers of one SDK's functions, applied when the SDK is imported.

    ``on_error`` receives the kind and the exception of each caught failure of the instrumentation;
    the application's call continues. ``on_hooks`` receives the hooks each time that the SDK is
    patched. ``calls`` counts calls; None if they are not counted. ``naming`` finds their providers.
    """

    LOST: ClassVar[Mapping[str, str]]
    """Each hook, with what is not observed without it (text for a warning)."""
    _provider: str
    """any-llm's key of the provider whose API the SDK speaks: that of calls to unknown hosts."""

    def __init__(
        self,
        library: str,
        distribution: str,
        on_error: OnError,
        on_hooks: Callable[[Hooks], None],
        find_call_site: Callable[..., CallSite | None],
        calls: LiveCalls | None,
        naming: Naming,
    ) -> None:
        super().__init__()
        self.hooks: Hooks | None = None
        """The hooks of the SDK; None until it is imported."""
        self._library = library
        self._distribution = distribution
        self._on_error = on_error
        self._on_hooks = on_hooks
        self._find_call_site = find_call_site
        self._near = Near()
        self._calls = calls
        self._naming = naming

    def uninstall(self) -> None:
        """Restore the original functions. Calls in progress continue."""
        super().uninstall()
        self.hooks = None

    def _patch(self, module: ModuleType) -> None:
        if self.hooks is None:
            found = dict.fromkeys(self.LOST, True)
            version = version_of(self._distribution)
            self.hooks = Hooks(self._library, version, found, signals=dict(self.LOST))
        self._hook(module)
        self._on_hooks(self.hooks)

    @abstractmethod
    def _hook(self, module: ModuleType) -> None:
        """Wrap the functions of a module of the SDK with `_wrap`."""

    @abstractmethod
    def _describe(self, *args: Any, **kwargs: Any) -> Described | None:
        """Describe a call from the arguments of the SDK's request function; None if it is none."""

    def _wrap(self, hook: str, owner: Any, name: str, around: Callable[[Any], Any]) -> None:
        """Wrap a method for a hook, or record that the installed version lacks it."""
        try:
            # Not getattr: a wrapper would give a class or a static method an argument too many.
            if inspect.isfunction(inspect.getattr_static(owner, name, None)):
                self._patches.wrap(owner, name, around)
                return
        except Exception as error:
            self._caught(error)
        if self.hooks is not None:
            self.hooks.found[hook] = False

    def _caught(self, error: Exception) -> None:
        raise_on(error)
        self._on_error("attribution.sdk", error)

    # The request function

    def _around_request(self, original: Any) -> Any:
        if inspect.iscoroutinefunction(original):

            async def request(*args: Any, **kwargs: Any) -> Any:
                call = self._begin(args, kwargs)
                if call is None:
                    return await original(*args, **kwargs)
                try:
                    call.start()
                    with current(current_call, call):
                        result = await original(*args, **kwargs)
                    return self._returned(call, result)
                except BaseException as error:
                    call.end_by(error)
                    raise

            return request

        def request_sync(*args: Any, **kwargs: Any) -> Any:
            call = self._begin(args, kwargs)
            if call is None:
                return original(*args, **kwargs)
            try:
                call.start()
                with current(current_call, call):
                    result = original(*args, **kwargs)
                return self._returned(call, result)
            except BaseException as error:
                call.end_by(error)
                raise

        return request_sync

    def _begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        """Return a new call; None inside another one, `NO_CALL` if the request calls no model."""
        if not self._on:
            return None
        try:
            outer = current_call.get()
            if outer is not None and not outer.ended and outer.counted is None:
                return None  # of any-llm, which may build a client in it
            if (outer is not None or current_counted.get() is not None) and outer_call():
                return None
            described = self._describe(*args, **kwargs)
            if described is None:
                return NO_CALL
            provider, operation, model, streamed = described
            if provider is None or not isinstance(model, str):
                of_span, _, model_of_span = self._naming.of_span() or (None, None, None)
                provider = provider or of_span or self._provider
                model = model if isinstance(model, str) else model_of_span
            model = None if model is None else model_text(model)
            call = Call(provider, model, operation, self._find_call_site(self._near), sdk=True)
            if self._calls is not None:
                counted = self._calls.begin(SDK, operation, provider, streamed=streamed)
                counted.model = model
                call.counted = counted
                call.ends_counted = True
            return call
        except Exception as error:
            self._caught(error)
            return None

    def _returned(self, call: Call, result: Any) -> Any:
        """End the call, or keep it open until the body of the response is read or dropped."""
        response = None
        try:
            response = self._open_response(result)
            if response is not None and call.counted is not None and not call.ended:
                if getattr(response, HELD, None) is None:
                    setattr(response, HELD, Hold(call))
                call.counted.returned_open(call if self._has_items(result) else None)
                return result
        except Exception as error:
            self._caught(error)
        call.end()
        return result

    def _open_response(self, result: Any) -> Any:  # noqa: ARG002
        """Return the response in what the request function returned, if its body is still open."""
        return None

    def _has_items(self, result: Any) -> bool:  # noqa: ARG002
        """Return whether what the request function returned is read item by item."""
        return True

    # Attempts and items

    def _own_call(self) -> Call | None:
        """Return the current call if an SDK makes it itself."""
        call = current_call.get() if self._on else None
        return call if call is not None and call.sdk and call.counted is not None else None

    def _around_attempt(self, original: Any) -> Any:
        """Wrap a function that makes one attempt of a call."""
        if inspect.iscoroutinefunction(original):

            async def attempt(*args: Any, **kwargs: Any) -> Any:
                with _Attempt(self._own_call()):
                    return await original(*args, **kwargs)

            return attempt

        def attempt_sync(*args: Any, **kwargs: Any) -> Any:
            with _Attempt(self._own_call()):
                return original(*args, **kwargs)

        return attempt_sync

    def _items_of(self, items: Any, response: Any) -> Any:
        """Return the items of a response's stream, such that reading them is observed.

        SDKs build the iterator while the request function runs, or at its first use.
        """
        try:
            hold = getattr(response, HELD, None)
            call = self._own_call() if hold is None else hold.call
            if self._on and call is not None and call.counted is not None and not call.ended:
                if hold is None:
                    hold = Hold(call)
                    setattr(response, HELD, hold)
                if call.counted.stream is None:
                    call.counted.streams_to(call)
                kind = AsyncStream if hasattr(type(items), "__anext__") else SyncStream
                return kind(items, call, current_call, hold)
        except Exception as error:
            self._caught(error)
        return items


class _Attempt:
    """One attempt of a call. If it raises, the call backs off until the next one begins."""

    __slots__ = ("_call",)

    def __init__(self, call: Call | None) -> None:
        self._call = call

    def __enter__(self) -> None:
        if self._call is not None and self._call.counted is not None:
            self._call.counted.send()

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if kind is not None and self._call is not None and self._call.counted is not None:
            self._call.counted.enter(BACKOFF)


@functools.lru_cache(maxsize=100)
def platform_of(kind: type) -> str | None:
    """Return any-llm's key of the platform that a class of clients is made for, if any."""
    for cls in kind.__mro__:
        for word, provider in _PLATFORMS.items():
            if word in cls.__name__:
                return provider
    return None


_PLATFORMS = {
    "Azure": "azureopenai",
    "Bedrock": "bedrock",
    "Foundry": "azureanthropic",
    "Vertex": "vertexaianthropic",
}

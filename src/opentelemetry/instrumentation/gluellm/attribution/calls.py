"""Wrappers that set a `Call` in the context variable while one any-llm call runs."""

from __future__ import annotations

import enum
import functools
import inspect
import re
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from ..failures import raise_on
from ..pool.call import Call, CountedCall, LiveCalls
from ..pool.call_site import CallSite, find
from ..providers import PROVIDERS
from ..text import one_line
from ..vocabulary import ABANDONED, ANY_LLM
from .context import (
    CallVariable,
    current_call,
    current_counted,
    is_spawned,
    outer_call,
)
from .streams import AsyncOpening, current, leave, wrapper_of

OnError = Callable[[str, Exception], None]
"""Callback for caught failures of the instrumentation: gets the kind and the exception."""
ModelOf = Callable[[tuple[Any, ...], dict[str, Any]], str | None]

_REGISTERED_OPERATIONS = {
    "completion": "chat",
    "embedding": "embeddings",
    "messages": "chat",
    "responses": "chat",
}

# AnyLLM.create_openai_compatible() accepts any text as provider name. It becomes an attribute of
# all telemetry, which must not contain an address or an API key.
_PLAIN_KEY = re.compile(r"\w[\w .-]{0,63}", re.ASCII)
OTHER_PROVIDER = "_OTHER"
_GLUELLM = "gluellm.runtime.context"
"""Module whose context has the correlation id."""
_CORRELATION_ID = re.compile(r"[^ ]{1,64}", re.DOTALL)
_LONGEST_MODEL = 256
"""Characters. An ARN of bedrock or a path of Vertex AI has fewer than 200."""
model_text = functools.lru_cache(maxsize=100)(functools.partial(one_line, longest=_LONGEST_MODEL))


def operation_name(method: str) -> str:
    """Return the ``gen_ai.operation.name`` of an any-llm method.

    It is the registered value if there is one, else any-llm's name without the prefixes ``_`` and
    ``a``. Source: https://opentelemetry.io/docs/specs/semconv/registry/attributes/gen-ai/
    """
    name = method.removeprefix("_").removeprefix("a")
    return _REGISTERED_OPERATIONS.get(name, name)


def provider_key(instance: Any) -> str:
    """Return any-llm's key of the provider that ``instance`` is a client of.

    ``_OTHER`` unless the name is 1 to 64 ASCII letters, digits, ``_``, ``.``, ``-`` or spaces.
    """
    name = instance.PROVIDER_NAME
    key = name if type(name) is str else str(name.value if isinstance(name, enum.Enum) else name)
    return key if key in PROVIDERS or _PLAIN_KEY.fullmatch(key) else OTHER_PROVIDER


def model_reader(method: Any) -> ModelOf:
    """Return a function that finds the argument ``model`` in a call of ``method``."""
    try:
        index = [*inspect.signature(method).parameters].index("model") - 1
    except (TypeError, ValueError):
        index = -1

    def model_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        model = kwargs.get("model")
        if model is None and 0 <= index < len(args):
            model = args[index]
        # A model name can be any text, and it ends up in labels, in logs and on terminals. Data
        # points with an unpaired surrogate in an attribute would not be exported.
        return model_text(model) if isinstance(model, str) else None

    return model_of


def correlation_id() -> str | None:
    """Return GlueLLM's correlation id; None outside of its calls.

    It connects a call to the application's own records. Verified with gluellm 1.11. An application
    can set any text. Only printable text of at most 64 characters without spaces counts as an id.
    """
    get = getattr(sys.modules.get(_GLUELLM), "get_correlation_id", None)
    found = get() if get is not None else None
    if isinstance(found, str) and _CORRELATION_ID.fullmatch(found) and found.isprintable():
        return found
    return None


_EARLY = "_gluellm_early_call"
"""Attribute of a client that one of any-llm's module functions built for a call."""


class _Early:
    """Holder of the counted call for which a client was built, until a method takes it over."""

    __slots__ = ("counted",)

    def __init__(self, counted: CountedCall) -> None:
        self.counted: CountedCall | None = counted

    def __del__(self) -> None:
        # The module function raised before the method.
        if self.counted is not None:
            self.counted.end(ABANDONED)


def _is_api(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__") == "any_llm.api"


class CallScope:
    """Factory of one installation's wrappers. Setting ``on`` to False turns all of them off.

    A wrapper never adds an exception to the application's call. If it fails, the call continues
    without attribution, and ``on_error`` counts the failure.

    A signal handler can raise between any two steps of a wrapper. So each wrapper marks the call as
    ended on every exception: a call that stays in the variable then claims nothing. The wrappers
    repeat this code, because any-llm counts stack frames to find the caller that it warns, and a
    shared function around the call would add one.
    """

    def __init__(
        self,
        on_error: OnError,
        *,
        whole_stacks: bool = False,
        variable: CallVariable = current_call,
        calls: LiveCalls | None = None,
    ) -> None:
        self.on = True
        self.variable = variable
        """Context variable that holds the current call."""
        self._on_error = on_error
        self._whole_stacks = whole_stacks
        self._calls = calls
        """The installation's calls; None if calls are not counted."""

    def failed(self, kind: str, error: Exception) -> None:
        """Count a failure of the instrumentation; raise ``error`` if a signal handler raised it."""
        raise_on(error)
        self._on_error(kind, error)

    def call_site(self) -> CallSite | None:
        """Return the application's current call site; None inside another any-llm call."""
        try:
            around = self.variable.get()
            if not self.on or (around is not None and not around.ended):
                return None
            # Search from the caller of the wrapper that calls this.
            return find(whole=self._whole_stacks, of=sys._getframe(2))
        except Exception as error:
            self.failed("attribution.place", error)
            return None

    def begin(
        self,
        instance: Any,
        operation: str | None,
        model_of: ModelOf,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        call_site: CallSite | None,
    ) -> Call | None:
        """Start a call; None inside another call of the same provider.

        Inside a call of another provider a new one starts. Requests are attributed to the innermost
        call, so a fallback's requests get the fallback's provider.
        """
        if not self.on:
            return None
        try:
            outer = self.variable.get()
            if outer is not None and (
                outer.ended or (outer.counted is not None and is_spawned(outer.counted))
            ):
                outer = None
            if outer is not None:
                if outer.provider == provider_key(instance):
                    return None
                call_site = call_site or outer.call_site
            call = self.new_call(instance, operation, model_of(args, kwargs), kwargs, call_site)
            if call is not None and self._calls is not None:
                streamed = kwargs.get("stream") is True
                self._count(self._calls, call, outer, instance, streamed)
            return call
        except Exception as error:
            self.failed("attribution.call", error)
            return None

    def _count(
        self, calls: LiveCalls, call: Call, outer: Call | None, instance: Any, streamed: bool
    ) -> None:
        """Attach the call to the counted call that contains it, or to a new counted call."""
        counted = current_counted.get() if outer is None else outer.counted
        if counted is not None and (counted.ended_at or is_spawned(counted)):
            counted = None
        if counted is not None:
            counted.found_provider(call.provider)
        elif call.operation is not None:
            early: _Early | None = instance.__dict__.pop(_EARLY, None)
            if early is not None:
                counted, early.counted = early.counted, None
            if counted is None:
                counted = calls.begin(ANY_LLM, call.operation, call.provider)
            counted.streamed = streamed
            call.ends_counted = True
        call.counted = counted
        if counted is not None and counted.model is None:
            counted.model = call.model

    def new_call(
        self,
        instance: Any,
        operation: str | None,
        model: str | None,
        kwargs: dict[str, Any],  # noqa: ARG002  used by LimitScope
        call_site: CallSite | None,
    ) -> Call | None:
        """Create the call for an instance. A subclass can return None to leave it unobserved."""
        found = correlation_id() if _GLUELLM in sys.modules else None
        return Call(provider_key(instance), model, operation, call_site, found)

    def finish(self, result: Any, call: Call, *, plain: bool = False) -> Any:
        """End the call, or pass it to the stream that is its result.

        ``plain`` is for the result of a plain function, which can also be an async context manager.
        """
        try:
            wrapper = wrapper_of(type(result))  # type: ignore[arg-type]  # a type is hashable
            wrapped: Any = None if wrapper is None else wrapper(result, call, self.variable)
            if wrapped is None and plain and hasattr(type(result), "__aenter__"):
                wrapped = AsyncOpening(result, call, self.variable)
        except Exception as error:
            self.failed("attribution.stream", error)
            wrapped = None
        if wrapped is None:
            call.end()
            return result
        if call.counted is not None and call.ends_counted:
            call.counted.streams_to(None if type(wrapped) is AsyncOpening else call)
        return wrapped

    def around_init(self, original: Any) -> Any:
        """Wrap a constructor, so that pools built in it belong to its provider."""

        def __init__(instance: Any, /, *args: Any, **kwargs: Any) -> None:
            call = self.begin(instance, None, lambda *_: None, args, kwargs, self.call_site())
            if call is None:
                return original(instance, *args, **kwargs)  # type: ignore[no-any-return]
            try:
                with current(self.variable, call):
                    return original(instance, *args, **kwargs)  # type: ignore[no-any-return]
            finally:
                call.ended = True

        return __init__

    def around_create(self, original: Any) -> Any:
        """Wrap the function by which any-llm's module functions build the client of a call."""

        def create(cls: type, /, *args: Any, **kwargs: Any) -> Any:
            counted = self._begin_early(args[0] if args else kwargs.get("provider"))
            if counted is None:
                return original(cls, *args, **kwargs)
            token = current_counted.set(counted)
            try:
                counted.start()
                llm = original(cls, *args, **kwargs)
                llm.__dict__[_EARLY] = _Early(counted)
                return llm
            except BaseException as error:
                counted.end_by(error)
                raise
            finally:
                leave(token)

        return create

    def _begin_early(self, provider: Any) -> CountedCall | None:
        """Begin the call of one of any-llm's module functions; None for other callers."""
        try:
            frame = sys._getframe(2)
            if not self.on or self._calls is None or not _is_api(frame):
                return None
            if outer_call() is not None:
                return None
            while frame.f_back is not None and _is_api(frame.f_back):
                frame = frame.f_back
            key = getattr(provider, "value", provider)
            return self._calls.begin(
                ANY_LLM,
                operation_name(frame.f_code.co_name),
                provider=key if key in PROVIDERS else None,
            )
        except Exception as error:
            self.failed("attribution.call", error)
            return None

    def around_coroutine(self, original: Any, operation: str) -> Any:
        """Wrap a coroutine function of a provider.

        The call site is found when the coroutine is created. It may run in a task or on the loop of
        any-llm's sync API, where the caller is not on the stack.
        """
        model_of, variable = model_reader(original), self.variable

        async def attribute(
            instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any], call_site: Any
        ) -> Any:
            call = self.begin(instance, operation, model_of, args, kwargs, call_site)
            if call is None:
                return await original(instance, *args, **kwargs)
            try:
                call.start()
                token = variable.set(call)  # `current`, without the cost of its three calls
                try:
                    result = await original(instance, *args, **kwargs)
                finally:
                    leave(token)
                return self.finish(result, call)
            except BaseException as error:
                call.end_by(error)
                raise

        # Warnings and debuggers show the name of the coroutine.
        attribute.__name__ = getattr(original, "__name__", "attribute")
        attribute.__qualname__ = getattr(original, "__qualname__", "attribute")

        def attributed(instance: Any, /, *args: Any, **kwargs: Any) -> Any:
            return attribute(instance, args, kwargs, self.call_site())

        return attributed

    def around_function(self, original: Any, operation: str) -> Any:
        """Wrap a plain function, which may return an awaitable, a stream or a context manager."""
        model_of = model_reader(original)

        def attributed(instance: Any, /, *args: Any, **kwargs: Any) -> Any:
            call = self.begin(instance, operation, model_of, args, kwargs, self.call_site())
            if call is None:
                return original(instance, *args, **kwargs)
            try:
                call.start()
                with current(self.variable, call):
                    result = original(instance, *args, **kwargs)
                if inspect.isawaitable(result):
                    return self._await(result, call)
                return self.finish(result, call, plain=True)
            except BaseException as error:
                call.end_by(error)
                raise

        return attributed

    async def _await(self, awaitable: Any, call: Call) -> Any:
        try:
            with current(self.variable, call):
                result = await awaitable
            return self.finish(result, call)
        except BaseException as error:
            call.end_by(error)
            raise

    def around(self, original: Any, operation: str) -> Any:
        """Wrap a coroutine function or a plain function of a provider."""
        if inspect.iscoroutinefunction(original):
            return self.around_coroutine(original, operation)
        return self.around_function(original, operation)

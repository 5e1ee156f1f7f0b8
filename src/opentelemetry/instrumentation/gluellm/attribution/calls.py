"""What is put around one any-llm call: a `Call` in the context variable, for as long as it runs."""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Callable
from contextvars import Token
from typing import Any

from ..pool.guard import from_signal_handler
from ..pool.lease import Call
from ..pool.place import Place, find
from ..pool.words import one_line
from .context import CallVariable, current_call
from .correlation import correlation_id
from .streams import AsyncOpening, leave, wrap_stream

ModelOf = Callable[[tuple[Any, ...], dict[str, Any]], str | None]

_REGISTERED_OPERATIONS = {
    "completion": "chat",
    "embedding": "embeddings",
    "messages": "chat",
    "responses": "chat",
}

# AnyLLM.create_openai_compatible() takes any text for a provider's name. It becomes an attribute of
# every signal, where no address and no key may stand.
_PLAIN_KEY = re.compile(r"\w[\w .-]{0,63}", re.ASCII)
OTHER_PROVIDER = "_OTHER"
_LONGEST_MODEL = 256
"""Characters; an ARN of bedrock or a path of Vertex AI has less than 200."""


def operation_name(method: str) -> str:
    """The ``gen_ai.operation.name`` of an any-llm method: registered or, failing that, any-llm's.

    https://opentelemetry.io/docs/specs/semconv/registry/attributes/gen-ai/
    """
    asynchronous = method.removeprefix("_").removeprefix("a")
    return _REGISTERED_OPERATIONS.get(asynchronous, asynchronous)


def provider_key(instance: Any) -> str:
    """any-llm's key of the provider that ``instance`` is of."""
    name = instance.PROVIDER_NAME
    key = str(name.value if isinstance(name, enum.Enum) else name)
    return key if _PLAIN_KEY.fullmatch(key) else OTHER_PROVIDER


def model_reader(method: Any) -> ModelOf:
    """A function that finds the argument ``model`` in a call of ``method``."""
    try:
        index = [*inspect.signature(method).parameters].index("model") - 1
    except (TypeError, ValueError):
        index = -1

    def model_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        model = kwargs.get("model")
        if model is None and 0 <= index < len(args):
            model = args[index]
        return _told(model) if isinstance(model, str) else None

    return model_of


def _told(model: str) -> str:
    # Any text is a model's name, and it goes into labels, logs and onto terminals. Half a surrogate
    # pair would keep its points from being exported.
    if len(model) <= _LONGEST_MODEL and model.isascii() and model.isprintable():
        return model
    return one_line(model, _LONGEST_MODEL)


class CallScope:
    """Makes the wrappers of one installation, and turns them off with it.

    A wrapper never adds a failure of its own to the host's call: the call goes on, without an
    attribution, and the failure is counted by ``on_error``.
    """

    def __init__(
        self,
        on_error: Callable[[str], None],
        *,
        whole_stacks: bool = False,
        variable: CallVariable = current_call,
    ) -> None:
        self.on = True
        self.variable = variable
        """What holds the call while it runs."""
        self._on_error = on_error
        self._whole_stacks = whole_stacks

    def failed(self, kind: str, error: Exception) -> None:
        """Count a failure of ours. What a signal handler has raised in here is raised on."""
        if from_signal_handler(error):
            raise error
        try:
            self._on_error(kind)
        except Exception as further:
            if from_signal_handler(further):
                raise

    def place(self) -> Place | None:
        """Where the application is at this moment; None inside another any-llm call."""
        try:
            around = self.variable.get()
            if not self.on or (around is not None and not around.ended):
                return None
            return find(whole=self._whole_stacks)
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
        place: Place | None,
    ) -> Call | None:
        """The call that starts here; None inside another: the outermost any-llm call wins."""
        if not self.on:
            return None
        try:
            around = self.variable.get()
            if around is not None and not around.ended:
                return None
            return self.new_call(instance, operation, model_of(args, kwargs), kwargs, place)
        except Exception as error:
            self.failed("attribution.call", error)
            return None

    def new_call(
        self,
        instance: Any,
        operation: str | None,
        model: str | None,
        kwargs: dict[str, Any],  # noqa: ARG002  for scopes of another purpose
        place: Place | None,
    ) -> Call | None:
        """The call of an instance that none is around; None to let it pass."""
        return Call(provider_key(instance), model, operation, place, correlation_id())

    def finish(self, result: Any, call: Call, *, plain: bool = False) -> Any:
        """End the call, or hand it on to the stream that is its result."""
        try:
            wrapped = wrap_stream(result, call, self.variable)
            if wrapped is None and plain and hasattr(type(result), "__aenter__"):
                wrapped = AsyncOpening(result, call, self.variable)
        except Exception as error:
            self.failed("attribution.stream", error)
            wrapped = None
        if wrapped is not None:
            return wrapped
        call.ended = True
        return result

    def around_init(self, original: Any) -> Any:
        """The constructor: it claims the pools that are built in it, and makes no request."""

        def __init__(instance: Any, /, *args: Any, **kwargs: Any) -> None:
            call = self.begin(instance, None, _no_model, args, kwargs, self.place())
            if call is None:
                return original(instance, *args, **kwargs)  # type: ignore[no-any-return]
            token = self.variable.set(call)
            try:
                return original(instance, *args, **kwargs)  # type: ignore[no-any-return]
            finally:
                leave(token)
                call.ended = True

        return __init__

    def around_coroutine(self, original: Any, operation: str) -> Any:
        """A coroutine function of a provider.

        The place is found when the coroutine is made, since it may run elsewhere: in a task, or on
        the loop of any-llm's sync API, with no frame of its maker above it.
        """
        model_of = model_reader(original)

        async def attribute(
            instance: Any, place: Place | None, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> Any:
            running = _Running(self, self.begin(instance, operation, model_of, args, kwargs, place))
            with running:
                result = await original(instance, *args, **kwargs)
            return running.finish(result)

        # What a coroutine is called in warnings and in a debugger.
        attribute.__name__ = getattr(original, "__name__", "attribute")
        attribute.__qualname__ = getattr(original, "__qualname__", "attribute")

        def attributed(instance: Any, /, *args: Any, **kwargs: Any) -> Any:
            return attribute(instance, self.place(), args, kwargs)

        if hasattr(inspect, "markcoroutinefunction"):
            return inspect.markcoroutinefunction(attributed)

        # Python 3.11 knows a coroutine function only by its code. No frame more than above: any-llm
        # counts them to find whom to warn.
        async def attributed_311(instance: Any, /, *args: Any, **kwargs: Any) -> Any:
            call = self.begin(instance, operation, model_of, args, kwargs, self.place())
            running = _Running(self, call)
            with running:
                result = await original(instance, *args, **kwargs)
            return running.finish(result)

        return attributed_311

    def around_function(self, original: Any, operation: str) -> Any:
        """A plain function: a sync call, or one that returns an awaitable, a stream, a manager."""
        model_of = model_reader(original)

        def attributed(instance: Any, /, *args: Any, **kwargs: Any) -> Any:
            call = self.begin(instance, operation, model_of, args, kwargs, self.place())
            if call is None:
                return original(instance, *args, **kwargs)
            token = self.variable.set(call)
            try:
                result = original(instance, *args, **kwargs)
            except BaseException:
                call.ended = True
                raise
            finally:
                leave(token)
            if inspect.isawaitable(result):
                return self._await(result, call)
            return self.finish(result, call, plain=True)

        return attributed

    async def _await(self, awaitable: Any, call: Call) -> Any:
        token = self.variable.set(call)
        try:
            result = await awaitable
        except BaseException:
            call.ended = True
            raise
        finally:
            leave(token)
        return self.finish(result, call)

    def around(self, original: Any, operation: str) -> Any:
        """A function of a provider, whichever way it is made."""
        if inspect.iscoroutinefunction(original):
            return self.around_coroutine(original, operation)
        return self.around_function(original, operation)


class _Running:
    """The time in which the function of a call runs, up to its result."""

    __slots__ = ("_call", "_scope", "_token")

    def __init__(self, scope: CallScope, call: Call | None) -> None:
        self._scope = scope
        self._call = call
        self._token: Token[Call | None] | None = None

    def __enter__(self) -> None:
        if self._call is not None:
            self._token = self._scope.variable.set(self._call)

    def __exit__(self, kind: object, value: object, traceback: object) -> None:
        if self._call is not None and self._token is not None:
            if kind is not None:
                self._call.ended = True
            leave(self._token)

    def finish(self, result: Any) -> Any:
        """The result, or the wrapper for the stream that it is."""
        return result if self._call is None else self._scope.finish(result, self._call)


def _no_model(_args: tuple[Any, ...], _kwargs: dict[str, Any]) -> str | None:
    return None

"""What is put around one any-llm call: a `Call` in the context variable, for as long as it runs."""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Callable
from contextvars import Token
from typing import Any

from ..failures import from_signal_handler
from ..pool.call_site import CallSite, find
from ..pool.lease import Call
from ..text import one_line
from .context import CallVariable, current_call
from .correlation import correlation_id
from .streams import AsyncOpening, leave, wrap_stream

OnError = Callable[[str, Exception], None]
"""Gets each caught failure of the instrumentation, and its kind before it."""
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

    A signal handler can raise between any two steps of a wrapper. So every way out by an exception
    ends the call, and what may stay in the variable then claims nothing. It is said anew in each
    wrapper, since any-llm counts the frames between itself and whom it warns.
    """

    def __init__(
        self,
        on_error: OnError,
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
            self._on_error(kind, error)
        except Exception as further:
            if from_signal_handler(further):
                raise

    def call_site(self) -> CallSite | None:
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
        call_site: CallSite | None,
    ) -> Call | None:
        """The call that starts here; None inside another call of the same provider.

        Inside a call of another provider a new one starts: requests are attributed to the innermost
        call, so a fallback's requests get the fallback's provider.
        """
        if not self.on:
            return None
        try:
            outer = self.variable.get()
            if outer is None or outer.ended:
                return self.new_call(instance, operation, model_of(args, kwargs), kwargs, call_site)
            if outer.provider == provider_key(instance):
                return None
            call = self.new_call(
                instance, operation, model_of(args, kwargs), kwargs, call_site or outer.call_site
            )
            if call is not None:
                call.outer = outer
            return call
        except Exception as error:
            self.failed("attribution.call", error)
            return None

    def new_call(
        self,
        instance: Any,
        operation: str | None,
        model: str | None,
        kwargs: dict[str, Any],  # noqa: ARG002  for scopes of another purpose
        call_site: CallSite | None,
    ) -> Call | None:
        """Create the call for an instance; None to leave it unobserved."""
        return Call(provider_key(instance), model, operation, call_site, correlation_id())

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
            call = self.begin(instance, None, _no_model, args, kwargs, self.call_site())
            if call is None:
                return original(instance, *args, **kwargs)  # type: ignore[no-any-return]
            token = None
            try:
                token = self.variable.set(call)
                return original(instance, *args, **kwargs)  # type: ignore[no-any-return]
            finally:
                call.ended = True
                self._leave(token, call)

        return __init__

    def around_coroutine(self, original: Any, operation: str) -> Any:
        """A coroutine function of a provider.

        The place is found when the coroutine is made, since it may run elsewhere: in a task, or on
        the loop of any-llm's sync API, with no frame of its maker above it.
        """
        model_of = model_reader(original)

        async def attribute(
            instance: Any, call_site: CallSite | None, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> Any:
            call = self.begin(instance, operation, model_of, args, kwargs, call_site)
            if call is None:
                return await original(instance, *args, **kwargs)
            token = None
            try:
                try:
                    token = self.variable.set(call)
                    result = await original(instance, *args, **kwargs)
                finally:
                    self._leave(token, call)
            except BaseException:
                call.ended = True
                raise
            return self.finish(result, call)

        # What a coroutine is called in warnings and in a debugger.
        attribute.__name__ = getattr(original, "__name__", "attribute")
        attribute.__qualname__ = getattr(original, "__qualname__", "attribute")

        def attributed(instance: Any, /, *args: Any, **kwargs: Any) -> Any:
            return attribute(instance, self.call_site(), args, kwargs)

        if hasattr(inspect, "markcoroutinefunction"):
            return inspect.markcoroutinefunction(attributed)

        # Python 3.11 knows a coroutine function only by its code. No frame more than above: any-llm
        # counts them to find whom to warn.
        async def attributed_311(instance: Any, /, *args: Any, **kwargs: Any) -> Any:
            call = self.begin(instance, operation, model_of, args, kwargs, self.call_site())
            if call is None:
                return await original(instance, *args, **kwargs)
            token = None
            try:
                try:
                    token = self.variable.set(call)
                    result = await original(instance, *args, **kwargs)
                finally:
                    self._leave(token, call)
            except BaseException:
                call.ended = True
                raise
            return self.finish(result, call)

        return attributed_311

    def around_function(self, original: Any, operation: str) -> Any:
        """A plain function: a sync call, or one that returns an awaitable, a stream, a manager."""
        model_of = model_reader(original)

        def attributed(instance: Any, /, *args: Any, **kwargs: Any) -> Any:
            call = self.begin(instance, operation, model_of, args, kwargs, self.call_site())
            if call is None:
                return original(instance, *args, **kwargs)
            token = None
            try:
                try:
                    token = self.variable.set(call)
                    result = original(instance, *args, **kwargs)
                finally:
                    self._leave(token, call)
            except BaseException:
                call.ended = True
                raise
            if inspect.isawaitable(result):
                return self._await(result, call)
            return self.finish(result, call, plain=True)

        return attributed

    async def _await(self, awaitable: Any, call: Call) -> Any:
        token = None
        try:
            try:
                token = self.variable.set(call)
                result = await awaitable
            finally:
                self._leave(token, call)
        except BaseException:
            call.ended = True
            raise
        return self.finish(result, call)

    def _leave(self, token: Token[Call | None] | None, call: Call) -> None:
        if token is None:
            self.variable.set(call.outer)
        else:
            leave(token)

    def around(self, original: Any, operation: str) -> Any:
        """A function of a provider, whichever way it is made."""
        if inspect.iscoroutinefunction(original):
            return self.around_coroutine(original, operation)
        return self.around_function(original, operation)


def _no_model(_args: tuple[Any, ...], _kwargs: dict[str, Any]) -> str | None:
    return None

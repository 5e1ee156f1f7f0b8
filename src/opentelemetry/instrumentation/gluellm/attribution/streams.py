"""Wrappers for streams and downloads, which continue after the any-llm call has returned.

A wrapper sets the context variable during each step only, so the code that consumes the stream
never sees the value. A generator can't do this: its frame runs in the consumer's context, where the
value would stay set between two steps.

A wrapper holds its stream, and only the consumer holds the wrapper. So a stream is dropped,
finalized and closed at the same moment as without the instrumentation.
"""

from __future__ import annotations

import functools
import inspect
from contextvars import Token
from typing import Any

from ..pool.call import Call, CountedCall
from ..vocabulary import ABANDONED, SUCCEEDED
from .context import CallVariable, current_call

_ENDING_STEPS = frozenset({"aclose", "close"})
_STEPS = frozenset({"asend", "athrow", "send", "throw"}) | _ENDING_STEPS
_OWN = frozenset({"_call", "_hold", "_stream", "_variable"})


def leave(token: Token[Any]) -> None:
    """Reset the context variable.

    A step that a finalizer closes may end in another context than it began in. That context never
    had the value, so there is nothing to reset.
    """
    try:  # noqa: SIM105  suppress() would cost more
        token.var.reset(token)
    except ValueError:
        pass


class current:  # noqa: N801
    """Set the call in the context variable while the ``with`` block runs.

    A generator with `contextlib.contextmanager` costs three times as much.
    """

    __slots__ = ("_call", "_variable", "token")

    def __init__(self, variable: CallVariable, call: Call) -> None:
        self._variable = variable
        self._call = call

    def __enter__(self) -> None:
        self.token = self._variable.set(self._call)

    def __exit__(self, *exception: object) -> None:
        leave(self.token)


class Hold:
    """Object shared by all wrappers of a call, which ends the call when the last one is dropped."""

    __slots__ = ("call",)

    def __init__(self, call: Call) -> None:
        self.call = call

    def __del__(self) -> None:
        self.call.end(ABANDONED)


class _Stream:
    """Transparent wrapper of ``stream`` that sets the call while a step runs."""

    __slots__ = ("__weakref__", "_call", "_hold", "_stream", "_variable")

    _call: Call
    _hold: Hold
    _stream: Any
    _variable: CallVariable

    def __init__(
        self,
        stream: Any,
        call: Call,
        variable: CallVariable = current_call,
        hold: Hold | None = None,
    ) -> None:
        own = object.__setattr__
        own(self, "_variable", variable)
        own(self, "_call", call)
        own(self, "_hold", hold or Hold(call))
        own(self, "_stream", stream)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        kind: type = self._stream.__class__  # looks through a wrapper inside this one as well
        return kind

    def __getattr__(self, name: str) -> Any:
        if name in _OWN:  # not set yet: copy or pickle is creating this instance
            raise AttributeError(name)
        value = getattr(self._stream, name)
        if name in _STEPS:
            return _step(value, self._call, self._variable, ends=name in _ENDING_STEPS)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._stream, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._stream, name)

    def __dir__(self) -> list[str]:
        return dir(self._stream)

    def __repr__(self) -> str:
        return repr(self._stream)


class AsyncStream(_Stream):
    """An async iterator of an any-llm call."""

    __slots__ = ()

    def __aiter__(self) -> Any:
        with current(self._variable, self._call):
            iterator = aiter(self._stream)
        if iterator is self._stream:
            return self
        return AsyncStream(iterator, self._call, self._variable, self._hold)

    async def __anext__(self) -> Any:
        call = self._call
        variable = self._variable
        call.steps += 1
        call.waiting = True
        token = variable.set(call)
        try:
            return await anext(self._stream)
        except BaseException as error:
            call.end_by(error)
            raise
        finally:
            call.waiting = False
            # `leave`, without the cost of a call for every item.
            try:  # noqa: SIM105
                variable.reset(token)
            except ValueError:
                pass


class AsyncOpening(_Stream):
    """An async context manager. That of a download sends its request on entry."""

    __slots__ = ()

    def _outcome(self, exception: tuple[object, ...]) -> int:
        """Return the call's outcome on exit. It is unknown how much of a download was read."""
        return SUCCEEDED if exception[0] is None else ABANDONED

    async def __aenter__(self) -> Any:
        try:
            with current(self._variable, self._call):
                entered = await self._stream.__aenter__()
        except BaseException as error:
            self._call.end_by(error)
            raise
        if entered is self._stream:
            return self
        wrapped = wrap_stream(entered, self._call, self._variable, self._hold)
        return entered if wrapped is None else wrapped

    async def __aexit__(self, *exception: object) -> Any:
        call = self._call
        try:
            with current(self._variable, call):
                result = await self._stream.__aexit__(*exception)
        except BaseException as error:
            call.end_by(error)
            raise
        call.end(self._outcome(exception))
        return result


class AsyncContextStream(AsyncOpening, AsyncStream):
    """An async iterator that is also a context manager, like the streams of the SDKs."""

    __slots__ = ()

    def _outcome(self, exception: tuple[object, ...]) -> int:  # noqa: ARG002
        return ABANDONED  # exhausted, it would have ended


class SyncStream(_Stream):
    """A sync iterator, of a provider whose sync call doesn't run any-llm's coroutine."""

    __slots__ = ()

    def __iter__(self) -> Any:
        with current(self._variable, self._call):
            iterator = iter(self._stream)
        if iterator is self._stream:
            return self
        return SyncStream(iterator, self._call, self._variable, self._hold)

    def __next__(self) -> Any:
        call = self._call
        variable = self._variable
        call.steps += 1
        call.waiting = True
        token = variable.set(call)
        try:
            return next(self._stream)
        except BaseException as error:
            call.end_by(error)
            raise
        finally:
            call.waiting = False
            try:  # noqa: SIM105  as in AsyncStream
                variable.reset(token)
            except ValueError:
                pass


class SyncContextStream(SyncStream):
    """A sync iterator that is also a context manager."""

    __slots__ = ()

    def __enter__(self) -> Any:
        with current(self._variable, self._call):
            entered = self._stream.__enter__()
        return self if entered is self._stream else entered

    def __exit__(self, *exception: object) -> Any:
        call = self._call
        try:
            with current(self._variable, call):
                result = self._stream.__exit__(*exception)
        except BaseException as error:
            call.end_by(error)
            raise
        call.end(ABANDONED)
        return result


def wrap_stream(
    result: Any, call: Call, variable: CallVariable = current_call, hold: Hold | None = None
) -> Any:
    """Return a wrapper for a stream; None for any other result.

    Only iterators are streams. An SDK's page of a list is iterable as well, but it is a model that
    may be validated or serialized, and its requests belong to later calls.
    """
    wrapper = wrapper_of(type(result))  # type: ignore[arg-type]  # a type is hashable
    return None if wrapper is None else wrapper(result, call, variable, hold)


@functools.lru_cache(maxsize=100)
def wrapper_of(kind: type) -> type[_Stream] | None:
    """Return the class that wraps results of a class; None if they are no streams.

    Cached, since looking for what a pydantic model lacks runs Python code of its metaclass.
    """
    if hasattr(kind, "__anext__"):
        return AsyncContextStream if hasattr(kind, "__aenter__") else AsyncStream
    if hasattr(kind, "__next__"):
        return SyncContextStream if hasattr(kind, "__enter__") else SyncStream
    return None


def hand_over(result: Any, counted: CountedCall) -> bool:
    """End the counted call with the stream that it returned.

    Return False if the result is not such a stream.
    """
    if not issubclass(type(result), _Stream):
        return False
    call = result._call
    if call.counted is not counted or call.ended:
        return False
    call.ends_counted = True
    counted.streams_to(call)
    return True


def _step(method: Any, call: Call, variable: CallVariable, *, ends: bool) -> Any:
    """Wrap a sync or async ``method`` of a stream, so that the call is set while it runs."""

    def step(*args: Any, **kwargs: Any) -> Any:
        call.steps += 1
        try:
            with current(variable, call):
                result = method(*args, **kwargs)
        except BaseException as error:
            call.end_by(error)
            raise
        if inspect.isawaitable(result):
            return _finish_step(result, call, variable, ends=ends)
        if ends:
            call.end(ABANDONED)
        return result

    return step


async def _finish_step(awaitable: Any, call: Call, variable: CallVariable, *, ends: bool) -> Any:
    try:
        with current(variable, call):
            result = await awaitable
    except BaseException as error:
        call.end_by(error)
        raise
    if ends:
        call.end(ABANDONED)
    return result

"""Wrappers of results are transparent, and set no call in the consumer's context."""

import asyncio
import gc
import inspect
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, closing
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from opentelemetry.instrumentation.gluellm.attribution.streams import (
    AsyncContextStream,
    AsyncOpening,
    SyncStream,
    wrap_stream,
)
from opentelemetry.instrumentation.gluellm.pool.call import Call

pytestmark = pytest.mark.anyio


@pytest.fixture
def call() -> Call:
    return Call("openai", "m", "chat")


class Endless:
    """The least that an SDK's stream has."""

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> int:
        return 1


async def numbers(seen: list[Any]) -> AsyncGenerator[Any, Any]:
    """Yield three numbers and what was sent; add the current call to ``seen``."""
    try:
        for number in range(3):
            seen.append(current_call.get())
            sent = yield number
            if sent is not None:
                yield sent
    finally:
        seen.append(current_call.get())


@pytest.mark.parametrize("outer", [None, Call("anthropic")], ids=["alone", "inside another call"])
async def test_call_is_set_in_each_step_and_not_between_steps(call, outer):
    """The consumer's code runs in the same task, and sees the outer call.

    Steps are counted: they show that a consumer reads, even if the SDK has read ahead.
    """

    current_call.set(outer)
    seen = []
    async for _ in wrap_stream(numbers(seen), call):
        assert current_call.get() is outer
    assert seen == [call] * 4
    assert current_call.get() is outer
    assert call.steps == 4
    assert call.ended


async def test_asend_athrow_and_aclose_are_forwarded(call):
    """An async generator stays one, with the call set in every kind of step."""

    seen = []
    stream = wrap_stream(numbers(seen), call)
    assert inspect.isasyncgen(stream) is isinstance(stream, AsyncGenerator) is True
    assert await anext(stream) == 0
    assert await stream.asend("sent") == "sent"
    with pytest.raises(KeyError):
        await stream.athrow(KeyError("x"))
    assert call.ended
    assert seen == [call, call]
    assert current_call.get() is None

    other = Call("openai")
    ended = []
    async with aclosing(wrap_stream(numbers(seen), other)) as opened:
        await anext(opened)
        ended.append(other.ended)
    assert [*ended, other.ended] == [False, True]
    assert seen[-1] is other


async def test_cancelled_step_ends_and_leaves_no_call(call):
    """A consumer that continues after a cancellation has no call in its context."""

    async def hanging():
        await asyncio.sleep(60)
        yield 1

    async def consumer():
        try:
            await anext(wrap_stream(hanging(), call))
        except asyncio.CancelledError:
            assert current_call.get() is None

    task = asyncio.create_task(consumer())
    await asyncio.sleep(0)
    task.cancel()
    await task
    assert call.ended


async def test_only_the_consumer_keeps_a_stream_alive(call):
    """A dropped stream is freed at once without the collector, and its call ends."""

    bare = Endless()
    reference = weakref.ref(bare)
    stream = wrap_stream(bare, call)
    del bare
    async for _ in stream:
        break
    assert not call.ended
    gc.disable()
    try:
        del stream
        assert reference() is None
    finally:
        gc.enable()
    assert call.ended


def test_step_that_a_finalizer_closes_elsewhere_is_no_error(call):
    """A suspended step is closed in another context than it began in."""
    step = wrap_stream(numbers_that_wait(), call).__anext__()
    context = asyncio.run(_context())
    context.run(step.send, None)
    step.close()
    assert current_call.get() is None
    assert call.ended


async def numbers_that_wait() -> AsyncIterator[int]:
    """Suspends in its first step."""
    await asyncio.tasks.__sleep0()
    yield 1


async def _context() -> Any:
    import contextvars

    return contextvars.copy_context()


async def test_separate_iterator_keeps_the_call(call):
    """An SDK's stream makes a generator per ``async for``; the stream itself may be dropped."""

    class Stream:
        def __init__(self):
            self.rest = iter(range(4))

        async def __aiter__(self):
            for number in self.rest:
                yield number, current_call.get()

        async def __anext__(self):
            raise NotImplementedError

    stream = wrap_stream(Stream(), call)
    async for number, seen in stream:
        assert seen is call
        if number == 1:
            break
    assert not call.ended, "it can be read on"
    iterator = aiter(stream)
    del stream
    assert await anext(iterator) == (2, call)
    assert not call.ended
    del iterator
    assert call.ended


def test_attributes_type_and_repr_are_the_streams(call):
    """Attributes can be read, written and deleted; a missing one raises."""

    class Stream(Endless):
        response = "r"

        def __repr__(self):
            return "<Stream>"

    bare = Stream()
    stream = wrap_stream(bare, call)
    kinds = (Stream, AsyncIterator, str)
    assert [isinstance(stream, kind) for kind in kinds] == [True, True, False]
    assert stream.response == "r"
    stream.extra = 1
    assert bare.extra == 1
    del stream.extra
    assert "extra" not in vars(bare)
    assert repr(stream) == "<Stream>"
    assert "response" in dir(stream)
    for name in ("aclose", "close", "__aenter__"):
        assert not hasattr(stream, name)
    with pytest.raises(AttributeError, match="'Stream' object has no attribute 'missing'"):
        _ = stream.missing
    assert bool(stream)
    assert weakref.ref(stream)() is stream


async def test_sdk_stream_stays_a_context_manager(call):
    """Entering returns the wrapper; leaving and closing end the call."""
    seen = []

    class Stream(Endless):
        async def __aenter__(self):
            seen.append(current_call.get())
            return self

        async def __aexit__(self, *exception):
            seen.append(current_call.get())

        async def __anext__(self):
            return current_call.get()

        async def close(self):
            seen.append("closed")

    class Plain(Endless):
        def close(self):
            return "closed"

    stream = wrap_stream(Stream(), call)
    assert type(stream) is AsyncContextStream
    async with AsyncExitStack() as stack:
        entered = await stack.enter_async_context(stream)
        assert await anext(entered) is call
        assert not call.ended
    assert call.ended
    assert seen == [call, call]
    await stream.close()
    assert seen[-1] == "closed"
    other = Call("openai")
    assert wrap_stream(Plain(), other).close() == "closed"
    assert other.ended


def test_sync_stream_forwards_send_throw_and_close(call):
    """The same for a sync generator: send, throw, close, exhaustion."""
    seen = []

    def generate():
        try:
            sent = yield current_call.get()
            yield sent
        finally:
            seen.append(current_call.get())

    stream = wrap_stream(generate(), call)
    assert type(stream) is SyncStream
    assert isinstance(stream, Generator)
    assert iter(stream) is stream
    assert next(stream) is call
    assert current_call.get() is None
    assert stream.send("sent") == "sent"
    assert not call.ended
    with closing(stream):
        pass
    assert seen == [call]
    assert call.ended

    other = Call("openai")
    assert len(list(wrap_stream(generate(), other))) == 2
    assert other.steps == 3
    assert other.ended

    third = Call("openai")
    stream = wrap_stream(generate(), third)
    next(stream)
    del stream
    assert third.ended


async def test_download_opens_and_reads_inside_the_call(call):
    """The request is sent on entry, and the body is read in steps."""
    seen = []

    @asynccontextmanager
    async def download():
        seen.append(current_call.get())
        try:
            yield numbers(seen)
        finally:
            seen.append(current_call.get())

    async with AsyncOpening(download(), call) as chunks:
        await anext(chunks)
        await chunks.aclose()
    assert seen == [call] * 4


class Page:
    """An async iterable that is no iterator, such as a pydantic model."""

    def __aiter__(self) -> AsyncIterator[int]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[int]:
        raise NotImplementedError


def test_results_that_are_no_streams_are_not_wrapped(call):
    """Answers, lists and pages are returned unchanged."""
    for result in (None, "text", b"bytes", [1], {"a": 1}, object(), range(3), Page()):
        assert wrap_stream(result, call) is None

"""A request and its response, driven step by step from the test's own thread.

A test body is plain code in the main thread. Each exchange runs in a thread of its own, or in a
task of its own on an event loop in the background, so one body serves sync and async clients.
"""

import asyncio
import contextlib
import contextvars
import queue
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from typing import Any, NamedTuple

import anyio
import anyio.from_thread

from .waiting import PATIENCE


class Opened(NamedTuple):
    """A response whose head has come. ``chunks`` and ``close`` are sync or async as the client."""

    status: int
    chunks: Iterator[bytes] | AsyncIterator[bytes]
    close: Callable[[], Any]


class Exchange:
    """One request in flight.

    ``entered``, ``answered`` and ``left`` are seconds of the monotonic clock, taken right around
    the library's own calls: when the request entered the pool, when its head came, when it left.
    """

    def __init__(self) -> None:
        self.entered = 0.0
        self.answered = 0.0
        self.left = 0.0
        self._head: Future[int] = Future()
        self._done = threading.Event()

    # Methods for tests.

    def head(self, timeout: float = PATIENCE) -> int:
        """Wait for the response's head and return the status. Raises what the request raised."""
        return self._head.result(timeout)

    def failure(self, timeout: float = PATIENCE) -> BaseException:
        """Wait until the request has failed without a head, and return the exception."""
        error = self._head.exception(timeout)
        assert error is not None, "the request was answered"
        self.wait()
        return error

    @property
    def has_failed(self) -> bool:
        """Whether the request has failed without a head."""
        return self._head.done() and self._head.exception() is not None

    def begin_read(self) -> Future[bytes]:
        """Start reading the body to its end; the future has all of it."""
        return self._step("read_all")

    def read(self) -> bytes:
        """Read the body to its end. The exchange is over then."""
        body = self.begin_read().result(PATIENCE)
        self.wait()
        return body

    def finish(self) -> bytes:
        """Wait for the head and read the body to its end."""
        self.head()
        return self.read()

    def chunk(self) -> bytes:
        """Read the next chunk of the body."""
        return self.begin_chunk().result(PATIENCE)

    def begin_chunk(self) -> Future[bytes]:
        """Start reading the next chunk of the body."""
        return self._step("read_one")

    def close(self) -> None:
        """Close the response, read to its end or not."""
        self._step("close").result(PATIENCE)
        self.wait()

    def leave(self) -> None:
        """Close the response while a ``ValueError`` of its reader is raised."""
        with contextlib.suppress(ValueError):
            self._step("leave").result(PATIENCE)
        self.wait()

    def abandon(self) -> None:
        """Drop the response without closing it; its references are gone when this returns."""
        self._step("abandon").result(PATIENCE)
        self.wait()

    def cancel(self) -> None:
        """Cancel the task that the exchange runs in, whatever it waits for."""
        raise NotImplementedError

    def wait(self, timeout: float = PATIENCE) -> None:
        """Wait until the exchange's thread or task is over."""
        assert self._done.wait(timeout), "the exchange has not ended"

    @property
    def duration(self) -> float:
        """Seconds from entering the pool to having left it."""
        return self.left - self.entered

    def _step(self, what: str) -> Future[Any]:
        raise NotImplementedError


class ThreadExchange(Exchange):
    """An exchange of a sync client."""

    def __init__(self, opening: Callable[[], Opened]) -> None:
        super().__init__()
        self._steps: queue.SimpleQueue[tuple[str, Future[Any]]] = queue.SimpleQueue()
        context = contextvars.copy_context()  # the test's current span, as for a task
        self._thread = threading.Thread(target=context.run, args=(self._run, opening), daemon=True)
        self._thread.start()

    def _step(self, what: str) -> Future[Any]:
        future: Future[Any] = Future()
        self._steps.put((what, future))
        return future

    def wait(self, timeout: float = PATIENCE) -> None:
        super().wait(timeout)
        self._thread.join(timeout)  # its frame refers to the response

    def _run(self, opening: Callable[[], Opened]) -> None:
        self.entered = time.monotonic()
        try:
            response = opening()
        except BaseException as error:
            self.left = time.monotonic()
            self._head.set_exception(error)
            self._done.set()
            return
        self.answered = time.monotonic()
        self._head.set_result(response.status)
        what = ""
        try:
            while what not in ("read_all", "close", "abandon"):
                what, future = self._steps.get()
                try:
                    future.set_result(self._do(what, response))
                except BaseException as error:
                    response.close()
                    future.set_exception(error)
                    return
        finally:
            self.left = time.monotonic()
            self._done.set()

    @staticmethod
    def _do(what: str, response: Opened) -> Any:
        if what == "read_one":
            return next(response.chunks)  # type: ignore[arg-type]
        if what == "read_all":
            body = b"".join(response.chunks)  # type: ignore[arg-type]
            response.close()
            return body
        if what == "close":
            response.close()
        if what == "leave":
            raise ValueError
        return None


class TaskExchange(Exchange):
    """An exchange of an async client, on the loop behind an anyio portal."""

    def __init__(
        self,
        portal: anyio.from_thread.BlockingPortal,
        backend: str,
        opening: Callable[[], Awaitable[Opened]],
    ) -> None:
        super().__init__()
        self._portal = portal
        self._backend = backend
        self._send, self._receive = anyio.create_memory_object_stream[tuple[str, Future[Any]]](16)
        self._cancel: Callable[[], Any] | None = None
        self._task = portal.start_task_soon(self._run, opening)

    def _step(self, what: str) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            self._portal.call(self._send.send_nowait, (what, future))
        except anyio.ClosedResourceError as error:  # it has failed already, by a short timeout
            future.set_exception(error)
        return future

    def cancel(self) -> None:
        assert self._cancel is not None
        self._portal.call(self._cancel)
        self.wait()

    async def _run(self, opening: Callable[[], Awaitable[Opened]]) -> None:
        try:
            if self._backend == "asyncio":
                task = asyncio.current_task()
                assert task is not None
                self._cancel = task.cancel  # as wait_for() and task groups do it
                await self._exchange(opening)
            else:
                with anyio.CancelScope() as scope:
                    self._cancel = scope.cancel
                    await self._exchange(opening)
        finally:
            self.left = time.monotonic()
            self._send.close()
            self._receive.close()
            self._done.set()

    async def _exchange(self, opening: Callable[[], Awaitable[Opened]]) -> None:
        self.entered = time.monotonic()
        try:
            response = await opening()
        except BaseException as error:
            self._head.set_exception(error)
            if isinstance(error, Exception):
                return
            raise
        self.answered = time.monotonic()
        self._head.set_result(response.status)
        what = ""
        while what not in ("read_all", "close", "abandon"):
            try:
                what, future = await self._receive.receive()
            except BaseException:  # cancelled between two steps
                await response.close()
                raise
            try:
                future.set_result(await self._do(what, response))
            except BaseException as error:
                await response.close()
                future.set_exception(error)
                if isinstance(error, Exception):
                    return
                raise

    @staticmethod
    async def _do(what: str, response: Opened) -> Any:
        if what == "read_one":
            return await anext(response.chunks)  # type: ignore[arg-type]
        if what == "read_all":
            body = b"".join([chunk async for chunk in response.chunks])  # type: ignore[union-attr]
            await response.close()
            return body
        if what == "close":
            await response.close()
        if what == "leave":
            raise ValueError
        return None

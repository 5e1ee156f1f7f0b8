"""The fake provider in a thread with its own event loop."""

from __future__ import annotations

import asyncio
import math
import ssl
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

from .behaviour import Behaviour, ReceivedRequest
from .server import FakeProvider

_T = TypeVar("_T")


class FakeProviderThread:
    """A `FakeProvider` behind a thread, as an ordinary context manager.

    ``with FakeProviderThread(...) as provider`` gives the `FakeProvider`; ``thread.run(coroutine)``
    runs its coroutines (`FakeProvider.refuse`, `FakeProvider.drop`, ...) on its own loop, from any
    thread. Raises what starting the provider raises.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        behaviour: Behaviour | Callable[[ReceivedRequest], Behaviour] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        idle_timeout: float = math.inf,
        replies: dict[tuple[str, str], object] | None = None,
        http2: bool = False,
        max_streams: int = 100,
    ) -> None:
        self.provider = FakeProvider(
            port=port,
            behaviour=behaviour,
            ssl_context=ssl_context,
            idle_timeout=idle_timeout,
            replies=replies,
            http2=http2,
            max_streams=max_streams,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fake-provider", daemon=True)

    def __enter__(self) -> FakeProvider:
        self._thread.start()
        try:
            self.run(self.provider.listen())
        except BaseException:
            self._stop()
            raise
        return self.provider

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.run(self.provider.close())
        finally:
            self._stop()

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine on the provider's loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def call(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """The same for a caller that has an event loop of its own, which is not blocked."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

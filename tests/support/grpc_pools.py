"""gRPC's channels under test, sync and async."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import grpc
import grpc.aio

from .clients import Headers, PoolUnderTest, Runner
from .exchange import Exchange, Opened, TaskExchange, ThreadExchange
from .grpc_server import STATUS_HEADER
from .libraries import Library
from .waiting import PATIENCE


def _settings(timeouts: dict[str, Any]) -> dict[str, Any]:
    """Settings of a call for these timeouts: gRPC has a single deadline.

    With a pool timeout, the call waits until its channel is ready.
    """
    seconds = [value for value in timeouts.values() if value is not None]
    ready = True if "pool" in timeouts else None
    return {"timeout": min(seconds, default=None), "wait_for_ready": ready}


class ChannelUnderTest(PoolUnderTest):
    """One channel per requested origin, so a test of one origin has one channel."""

    def __init__(self, library: Library, **settings: Any) -> None:
        super().__init__(library, {})
        self._settings = settings
        self.channels: dict[str, Any] = self.raw
        self._intercepted = False

    @property
    def channel(self) -> Any:
        """The one channel."""
        (channel,) = self.channels.values()
        return channel

    @property
    def connections(self) -> list[Any]:
        return []  # gRPC does not report them

    def channel_to(self, url: str) -> Any:
        """The channel for the origin of a URL."""
        parts = urlsplit(url)
        channel = self.channels.get(parts.netloc)
        if channel is None:
            channel = self.channels[parts.netloc] = self.build(parts.netloc)
        return channel

    def build(self, target: str, **further: Any) -> Any:
        """A channel with the settings of this one."""
        settings = {**self._settings, **further}
        credentials = settings.pop("credentials", None)
        if credentials is None:
            return self._module.insecure_channel(target, **settings)
        return self._module.secure_channel(target, credentials, **settings)

    def ask(self, url: str, **timeouts: Any) -> Exchange:
        """Start a call whose answer is a single message."""
        raise NotImplementedError

    def read_at_once(self, url: str) -> Future[bytes]:
        """Start a call and read its stream at once, without asking for its head."""
        raise NotImplementedError

    def send_several(self, url: str) -> list[bytes]:
        """Make two calls that send a stream: one gets a message, one gets a stream."""
        raise NotImplementedError

    def intercept(self) -> None:
        """Add an interceptor that passes everything on."""
        self._intercepted = True

    def forget(self) -> None:
        self.closed = True
        self.raw = self.channels = {}

    @property
    def _module(self) -> Any:
        raise NotImplementedError


class SyncChannel(ChannelUnderTest):
    """``grpc.Channel``."""

    def channel_to(self, url: str) -> Any:
        channel = super().channel_to(url)
        return grpc.intercept_channel(channel, _Passing()) if self._intercepted else channel

    def read_at_once(self, url: str) -> Future[bytes]:
        method = self.channel_to(url).unary_stream(urlsplit(url).path)
        read: Future[bytes] = Future()
        threading.Thread(target=lambda: read.set_result(b"".join(method(b""))), daemon=True).start()
        return read

    def send_several(self, url: str) -> list[bytes]:
        channel, path = self.channel_to(url), urlsplit(url).path
        one = channel.stream_unary(path)(iter([b"a"]))
        return [one, *channel.stream_stream(path)(iter([b"a"]))]

    @property
    def core(self) -> Any:
        return self.channel._call_state

    @property
    def _module(self) -> Any:
        return grpc

    def send(
        self, url: str, *, body: bytes = b"", headers: Headers = (), **timeouts: Any
    ) -> Exchange:
        method = self.channel_to(url).unary_stream(urlsplit(url).path)
        settings = _settings(timeouts)

        def opening() -> Opened:
            call = method(body, metadata=headers, **settings)
            head = dict(call.initial_metadata())
            if STATUS_HEADER not in head:
                next(call)  # raises why
            return Opened(int(head[STATUS_HEADER]), iter(call), call.cancel)

        return ThreadExchange(opening)

    def ask(self, url: str, **timeouts: Any) -> Exchange:
        method = self.channel_to(url).unary_unary(urlsplit(url).path)
        settings = _settings(timeouts)

        def opening() -> Opened:
            answer = method(b"", **settings)
            return Opened(200, iter([answer]), lambda: None)

        return ThreadExchange(opening)

    def call(self, url: str) -> bytes:
        return b"".join(self.channel_to(url).unary_stream(urlsplit(url).path)(b""))

    def _close(self) -> None:
        for channel in self.channels.values():
            channel.close()


class AsyncChannel(ChannelUnderTest):
    """``grpc.aio.Channel``."""

    def __init__(self, library: Library, runner: Runner, **settings: Any) -> None:
        super().__init__(library, **settings)
        assert runner.portal is not None
        self._portal, self._mode = runner.portal, runner.mode

    @property
    def core(self) -> Any:
        return self.channel

    @property
    def _module(self) -> Any:
        return grpc.aio

    def channel_to(self, url: str) -> Any:
        # A channel belongs to the loop that it is built in.
        return self._portal.call(super().channel_to, url)

    def build(self, target: str, **further: Any) -> Any:
        if self._intercepted:
            further["interceptors"] = [_PassingOne(), _PassingStream()]
        return super().build(target, **further)

    def read_at_once(self, url: str) -> Future[bytes]:
        method = self.channel_to(url).unary_stream(urlsplit(url).path)

        async def read() -> bytes:
            return b"".join([chunk async for chunk in method(b"")])

        return self._portal.start_task_soon(read)

    def send_several(self, url: str) -> list[bytes]:
        channel, path = self.channel_to(url), urlsplit(url).path

        async def send() -> list[bytes]:
            one = await channel.stream_unary(path)(iter([b"a"]))
            both = channel.stream_stream(path)()
            await both.write(b"a")
            await both.done_writing()
            return [one, *[chunk async for chunk in both]]

        return self._portal.call(send)

    def send(
        self, url: str, *, body: bytes = b"", headers: Headers = (), **timeouts: Any
    ) -> Exchange:
        method = self.channel_to(url).unary_stream(urlsplit(url).path)
        settings = _settings(timeouts)

        async def opening() -> Opened:
            call = method(body, metadata=headers, **settings)
            try:
                head = dict(tuple(await call.initial_metadata()))
                if STATUS_HEADER not in head:
                    await anext(aiter(call))  # raises why
            except asyncio.CancelledError:
                call.cancel()  # as reading does
                raise
            return Opened(int(head[STATUS_HEADER]), aiter(call), _closing(call.cancel))

        return TaskExchange(self._portal, self._mode, opening)

    def ask(self, url: str, **timeouts: Any) -> Exchange:
        method = self.channel_to(url).unary_unary(urlsplit(url).path)
        settings = _settings(timeouts)

        async def opening() -> Opened:
            answer = await method(b"", **settings)
            return Opened(200, _one(answer), _closing(lambda: None))

        return TaskExchange(self._portal, self._mode, opening)

    def _close(self) -> None:
        async def close() -> None:
            for channel in self.channels.values():
                await channel.close()

        self._portal.start_task_soon(close).result(PATIENCE)


class _Passing(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(details, request)

    intercept_unary_stream = intercept_unary_unary


class _PassingOne(grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(details, request)


class _PassingStream(grpc.aio.UnaryStreamClientInterceptor):
    intercept_unary_stream = _PassingOne.intercept_unary_unary


async def _one(answer: bytes) -> Any:
    yield answer


def _closing(close: Callable[[], Any]) -> Callable[[], Any]:
    async def closing() -> None:
        close()

    return closing


@dataclass(frozen=True, slots=True)
class GrpcLibrary(Library):
    """gRPC, whose channels are its pools and its clients."""

    def raises(self, error: str) -> Any:
        return grpc.RpcError

    def raises_in_client(self, error: str) -> Any:
        return grpc.RpcError

    def pool(self, runner: Runner, **settings: Any) -> PoolUnderTest:
        """A channel; settings as ``grpc.insecure_channel`` takes them."""
        if runner.portal is None:
            return SyncChannel(self, **settings)
        return AsyncChannel(self, runner, **settings)

    def whole_client(self, runner: Runner, **settings: Any) -> PoolUnderTest:
        """A channel is also a client."""
        settings.pop("trust_env", None)
        return self.pool(runner, **settings)

    @property
    def pool_classes(self) -> tuple[type, ...]:
        inside = grpc.aio._channel, grpc.aio._call, grpc._channel
        names = """Channel UnaryUnaryCall UnaryStreamCall StreamUnaryCall StreamStreamCall
            _StreamResponseMixin _Rendezvous _SingleThreadedRendezvous _MultiThreadedRendezvous
            _UnaryUnaryMultiCallable _UnaryStreamMultiCallable _StreamUnaryMultiCallable
            _SingleThreadedUnaryStreamMultiCallable _StreamStreamMultiCallable""".split()
        return tuple(
            getattr(module, name) for module in inside for name in names if hasattr(module, name)
        )


_CORE = SimpleNamespace(__name__="grpc")
LIBRARY = GrpcLibrary("grpc", cast("Any", _CORE), grpc)

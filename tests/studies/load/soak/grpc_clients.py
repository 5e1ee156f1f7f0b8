"""gRPC's channels, of ``grpc.aio`` and sync ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import grpc.aio

from .clients import Wish
from .places import CUT_HANDSHAKE, DISCARDING, REFUSED

_WHERES = (REFUSED, CUT_HANDSHAKE, DISCARDING)


class GrpcLibrary:
    """Channels of either kind."""

    wheres: tuple[str, ...] = _WHERES

    def __init__(self, *, asynchronous: bool) -> None:
        self.name = f"grpc {'async' if asynchronous else 'sync'}"
        self._asynchronous = asynchronous
        # A closed channel raises the others.
        self.expected: tuple[type, ...] = (
            (grpc.RpcError, grpc.aio.UsageError, asyncio.CancelledError)
            if asynchronous
            else (grpc.RpcError, ValueError)
        )

    def __call__(self, wish: Wish) -> Any:
        """A channel."""
        target = wish.places.target(wish.where)
        if self._asynchronous:
            return _Async(grpc.aio.insecure_channel(target), wish.timeout)
        return _Sync(grpc.insecure_channel(target), wish.timeout)


class _Async:
    def __init__(self, channel: Any, timeout: float) -> None:
        self._channel = self.raw = channel
        self._timeout = timeout

    async def get(self, answer: str) -> None:
        await self._channel.unary_unary(f"/{answer}")(b"", timeout=self._timeout)

    async def open(self, answer: str) -> AsyncIterator[bytes]:
        call = self._channel.unary_stream(f"/{answer}")(b"", timeout=self._timeout)
        await call.initial_metadata()
        chunks: AsyncIterator[bytes] = aiter(call)
        return chunks

    async def close(self) -> None:
        await self._channel.close()


class _Sync:
    def __init__(self, channel: Any, timeout: float) -> None:
        self._channel = self.raw = channel
        self._timeout = timeout

    def get(self, answer: str) -> None:
        self._channel.unary_unary(f"/{answer}")(b"", timeout=self._timeout)

    def open(self, answer: str) -> Iterator[bytes]:
        chunks: Iterator[bytes] = self._channel.unary_stream(f"/{answer}")(
            b"", timeout=self._timeout
        )
        return chunks

    def close(self) -> None:
        self._channel.close()

"""Makes calls of every kind with a changed copy of gRPC, and tells what was observed.

Arguments: the target of a server, and of nobody. Prints JSON.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
from telling import Observed

target, nobody = sys.argv[1:]
observed = Observed("grpc")
results, collect = observed.results, observed.collect


def noted(work: Callable[[], Any]) -> None:
    try:
        results.append(str(work()))
    except grpc.RpcError as error:
        results.append(error.code().name)


def sync_calls() -> None:
    with grpc.insecure_channel(target) as channel:
        noted(lambda: channel.unary_unary("/")(b""))
        noted(lambda: channel.unary_unary("/").future(b"").result())
        noted(lambda: list(channel.unary_stream("/")(b"")))
        noted(lambda: channel.stream_unary("/")(iter([b""])))
        stream = channel.unary_stream("/")(b"")
        stream.initial_metadata()
        noted(stream.cancel)
        collect()
    with grpc.insecure_channel(nobody) as channel:
        noted(lambda: channel.unary_unary("/")(b""))


async def aio_calls() -> None:
    async with grpc.aio.insecure_channel(target) as channel:
        results.append(str(await channel.unary_unary("/")(b"", wait_for_ready=True)))
        results.append(str([message async for message in channel.unary_stream("/")(b"")]))
        stream = channel.unary_stream("/")(b"")
        await stream.initial_metadata()
        results.append(str(stream.cancel()))
        collect()
    async with grpc.aio.insecure_channel(nobody) as channel:
        try:
            await channel.unary_unary("/")(b"")
        except grpc.RpcError as error:
            results.append(error.code().name)


sync_calls()
asyncio.run(aio_calls())
observed.tell()

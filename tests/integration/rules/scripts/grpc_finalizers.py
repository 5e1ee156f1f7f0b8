"""Ends gRPC's calls and channels by finalizers while this thread holds every lock of the SDK.

The garbage collector can run at any line, also at one inside the SDK's locks, which are not
reentrant. Argument: a server's target, whose ``/held`` is never answered to its end. Prints "done".
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time

import grpc
import grpc.aio
from locked_sdk import UNDER_WAY, LockedSdk, WhenDropped

(target,) = sys.argv[1:]

sdk = LockedSdk("opentelemetry")


def sync_stream_dropped() -> None:
    channel = grpc.insecure_channel(target)
    call = channel.unary_stream("/held")(b"")
    next(call)
    with sdk.inside():
        del call
        gc.collect()
    channel.close()


def sync_channel_dropped() -> None:
    channel = grpc.insecure_channel(target)
    channel.unary_unary("/")(b"")
    with sdk.inside():
        del channel
        gc.collect()


async def aio_stream_cancelled_by_a_finalizer(*, waits: bool) -> None:
    async with grpc.aio.insecure_channel(target if not waits else "127.0.0.1:9") as channel:
        call = channel.unary_stream("/held")(b"", wait_for_ready=waits)
        if waits:
            await asyncio.sleep(0.05)
        else:
            await call.read()
        dropped = WhenDropped(call.cancel)
        with sdk.inside():
            del dropped, call
            gc.collect()


async def aio_channel_dropped() -> None:
    channel = grpc.aio.insecure_channel(target)
    await channel.unary_unary("/")(b"")
    with sdk.inside():
        del channel
        gc.collect()


async def main() -> None:
    for _ in range(2):
        sdk.collect()
        await aio_stream_cancelled_by_a_finalizer(waits=False)
        await aio_stream_cancelled_by_a_finalizer(waits=True)
        await aio_channel_dropped()


for _ in range(2):
    sync_stream_dropped()
    sync_channel_dropped()
asyncio.run(main())
until = time.monotonic() + 5
while sdk.total(*UNDER_WAY) and time.monotonic() < until:
    time.sleep(0.01)
assert sdk.total(*UNDER_WAY) == 0
print("done")
sys.stdout.flush()

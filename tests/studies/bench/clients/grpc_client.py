"""grpc.aio, against a real server in a process of its own.

gRPC's core does its own networking, so nothing can be scripted below it. The server is a program
that is run, not a forked copy, so neither valgrind nor the process' CPU time counts it.
"""

from __future__ import annotations

import atexit
import json
import subprocess
import sys

import grpc.aio  # type: ignore[import-untyped]

from ..exchange import QUESTION
from .base import Client

_servers: list[tuple[subprocess.Popen[bytes], int]] = []


class GrpcClient(Client):
    """A channel of grpc.aio, as in xai-sdk."""

    def __init__(self, *, streaming: bool) -> None:
        self._question = json.dumps(QUESTION).encode()
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{server()}")
        self._send = self._channel.unary_unary("/bench.Chat/Complete")
        self._stream = self._channel.unary_stream("/bench.Chat/Stream")

    async def send_one(self) -> None:
        await self._send(self._question)

    async def stream_one(self) -> int:
        chunks = 0
        async for _message in self._stream(self._question):
            chunks += 1
        return chunks

    async def close(self) -> None:
        await self._channel.close()


def server() -> int:
    """The port of this process' server, which is started when it is first asked for."""
    if not _servers:
        program = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.grpc_server"],
            stdin=subprocess.PIPE,  # it ends when nobody holds the other end any more
            stdout=subprocess.PIPE,
        )
        assert program.stdout is not None
        _servers.append((program, int(program.stdout.readline())))
        atexit.register(program.terminate)
    return _servers[0][1]

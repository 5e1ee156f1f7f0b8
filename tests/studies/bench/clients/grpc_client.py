"""grpc.aio, against a real server in a process of its own.

gRPC's core does its own networking, so nothing can be scripted below it. The server is this
module run as a program, not a forked copy, so neither valgrind nor the process' CPU time counts it.
"""

import atexit
import json
import subprocess
import sys
from concurrent import futures

import grpc.aio  # type: ignore[import-untyped]

from ..exchange import BODY, CHUNK, CHUNKS, QUESTION
from .base import Client

_servers: list[tuple[subprocess.Popen[bytes], int]] = []


class AsyncClient(Client):
    """A channel of grpc.aio, as in xai-sdk."""

    def __init__(self, _library: str, *, streaming: bool) -> None:
        self._question = json.dumps(QUESTION).encode()
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{server()}")
        self._send = self._channel.unary_unary("/bench.Chat/Complete")
        self._stream = self._channel.unary_stream("/bench.Chat/Stream")

    async def send_one(self) -> None:
        await self._send(self._question)

    async def stream_one(self) -> None:
        async for _message in self._stream(self._question):
            pass

    async def close(self) -> None:
        await self._channel.close()


def server() -> int:
    """The port of this process' server, which is started when it is first asked for."""
    if not _servers:
        program = subprocess.Popen(
            [sys.executable, "-m", __spec__.name],
            stdin=subprocess.PIPE,  # the server ends when this process has closed its end
            stdout=subprocess.PIPE,
        )
        assert program.stdout is not None
        _servers.append((program, int(program.stdout.readline())))
        atexit.register(program.terminate)
    return _servers[0][1]


def _serve() -> None:
    """Print the port, and answer until the input ends."""
    serving = grpc.server(futures.ThreadPoolExecutor(4))
    handlers = {
        "Complete": grpc.unary_unary_rpc_method_handler(lambda *_: BODY),
        "Stream": grpc.unary_stream_rpc_method_handler(lambda *_: iter([CHUNK] * CHUNKS)),
    }
    handler = grpc.method_handlers_generic_handler("bench.Chat", handlers)
    serving.add_generic_rpc_handlers((handler,))
    port = serving.add_insecure_port("127.0.0.1:0")
    serving.start()
    print(port, flush=True)
    sys.stdin.buffer.read()
    serving.stop(None)


if __name__ == "__main__":
    _serve()

"""``python -m studies.bench.clients.grpc_server``: answers on loopback until its input ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc  # type: ignore[import-untyped]

from ..exchange import BODY, CHUNK, CHUNKS


def _complete(question: bytes, context: Any) -> bytes:
    return BODY


def _stream(question: bytes, context: Any) -> Iterator[bytes]:
    for _ in range(CHUNKS):
        yield CHUNK


def main() -> None:
    """Print the port, and serve."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    handlers = {
        "Complete": grpc.unary_unary_rpc_method_handler(_complete),
        "Stream": grpc.unary_stream_rpc_method_handler(_stream),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Chat", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.buffer.read()
    server.stop(None)


if __name__ == "__main__":
    main()

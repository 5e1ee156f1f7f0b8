"""xAI's chat API over gRPC, for xai_sdk and for any-llm's provider."""

import contextlib
from collections.abc import Iterator
from typing import Any

from .grpc_server import GrpcServer
from .listener import ServerLoop
from .script import Delay, Reply

ONE_ANSWER, STREAM = "/xai_api.Chat/GetCompletion", "/xai_api.Chat/GetCompletionChunk"


class FakeXai(GrpcServer):
    """Answers every chat with ``words``, in one message or as a stream."""

    def __init__(
        self,
        servers: ServerLoop,
        *,
        words: tuple[str, ...] = ("hello", " ", "there"),
        head_after: Delay = 0.0,
        word_after: Delay = 0.0,
        end_after: Delay = 0.0,
        **settings: Any,
    ) -> None:
        super().__init__(servers, **settings)
        chunks = tuple((word_after, _chunk(word)) for word in words)
        self.script.set(
            ONE_ANSWER, Reply(head_after=head_after, chunks=((0.0, _answer("".join(words))),))
        )
        self.script.set(STREAM, Reply(head_after=head_after, chunks=chunks, end_after=end_after))

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of ``AnyLLM.create("xai", ...)`` for this server."""
        return {"api_key": "dummy", "api_host": self.target, "use_insecure_channel": True}


@contextlib.contextmanager
def fake_xai(**settings: Any) -> Iterator[FakeXai]:
    """A `FakeXai` on its own event loop."""
    servers = ServerLoop()
    try:
        server = FakeXai(servers, **settings)
        try:
            yield server
        finally:
            server.close()
    finally:
        servers.stop()


def _answer(text: str) -> bytes:
    from xai_sdk.proto import chat_pb2

    message = chat_pb2.CompletionMessage(content=text, role=chat_pb2.ROLE_ASSISTANT)
    output = chat_pb2.CompletionOutput(message=message)
    answer = chat_pb2.GetChatCompletionResponse(id="chat-1", model="grok-4", outputs=[output])
    return bytes(answer.SerializeToString())


def _chunk(text: str) -> bytes:
    from xai_sdk.proto import chat_pb2

    delta = chat_pb2.Delta(content=text, role=chat_pb2.ROLE_ASSISTANT)
    output = chat_pb2.CompletionOutputChunk(delta=delta)
    chunk = chat_pb2.GetChatCompletionChunk(id="chat-1", model="grok-4", outputs=[output])
    return bytes(chunk.SerializeToString())

"""xAI's API over gRPC: one chat, answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from support.script import Reply, Script


@dataclass(slots=True)
class Answers(Script):
    """Answers every call as a chat; ``look`` is called before, while the client waits."""

    look: Callable[[str], None] = print

    def next(self, path: str) -> Reply:
        """The answer as bytes."""
        from xai_sdk.proto import chat_pb2

        self.look(path)
        message = chat_pb2.CompletionMessage(content="hi", role=chat_pb2.ROLE_ASSISTANT)
        output = chat_pb2.CompletionOutput(message=message)
        answer = chat_pb2.GetChatCompletionResponse(id="c1", model="model-1", outputs=[output])
        return Reply(chunks=((0.0, answer.SerializeToString()),))

"""Every LLM provider with an HTTP API in one server, with answers that each SDK can parse."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .http1 import HTTP1Server
from .listener import ServerLoop
from .script import Reply, Script

MODEL = "model-1"

_ASSISTANT = {"role": "assistant", "content": "hi"}
_TEXT = {"type": "text", "text": "hi"}
_USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
_TOKENS = {"input_tokens": 1, "output_tokens": 1}
_OPENAI_CHOICE = {"index": 0, "finish_reason": "stop", "logprobs": None, "message": _ASSISTANT}
_OPENAI_CHAT = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": MODEL,
    "choices": [_OPENAI_CHOICE],
    "usage": _USAGE,
}
_ANTHROPIC_MESSAGE = {
    "id": "m1",
    "type": "message",
    "role": "assistant",
    "model": MODEL,
    "content": [_TEXT],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": _TOKENS,
}
_GEMINI_CONTENT = {"role": "model", "parts": [{"text": "hi"}]}
_GEMINI = {
    "candidates": [{"content": _GEMINI_CONTENT, "finishReason": "STOP", "index": 0}],
    "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
    "modelVersion": MODEL,
}
_BEDROCK_CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
    "metrics": {"latencyMs": 1},
}
_COHERE = {
    "id": "c1",
    "finish_reason": "COMPLETE",
    "usage": {"tokens": _TOKENS},
    "message": {"role": "assistant", "content": [_TEXT]},
}
_OLLAMA = {
    "model": MODEL,
    "created_at": "2026-01-01T00:00:00Z",
    "message": _ASSISTANT,
    "done": True,
    "done_reason": "stop",
    "total_duration": 1,
    "load_duration": 1,
    "prompt_eval_count": 1,
    "prompt_eval_duration": 1,
    "eval_count": 1,
    "eval_duration": 1,
}
_EMBEDDING = {"object": "embedding", "embedding": [0.1], "index": 0}
_EMBEDDINGS = {"object": "list", "data": [_EMBEDDING], "model": MODEL, "usage": _USAGE}
_DECISION = {
    "model": MODEL,
    "answers": {"q": {"type": "noul", "noul": 0.5}},
    "usage": {**_TOKENS, "total_tokens": 2},
}
_CLAIMS = base64.urlsafe_b64encode(json.dumps({"exp": 4102444800}).encode()).decode()
_IAM_TOKEN = {
    "access_token": f"head.{_CLAIMS}.signature",
    "refresh_token": "token",
    "token_type": "Bearer",
    "expires_in": 3600,
    "expiration": 4102444800,
}

ANSWERS: dict[str, Any] = {
    "/chat/completions": _OPENAI_CHAT,
    "/invocations": _OPENAI_CHAT,  # SageMaker
    "/text/chat": _OPENAI_CHAT,  # watsonx
    "/messages": _ANTHROPIC_MESSAGE,
    ":rawPredict": _ANTHROPIC_MESSAGE,  # Anthropic on Vertex AI
    ":generateContent": _GEMINI,
    "/converse": _BEDROCK_CONVERSE,
    "/v2/chat": _COHERE,
    "/api/chat": _OLLAMA,
    "/embeddings": _EMBEDDINGS,
    "/systemone": _DECISION,
    f"/{MODEL}": {"answer": "hi", "references": []},  # Liner
    "/v1/tcp_warming": {},  # Cerebras
    "/api/agent-harnesses": {"standardEnvVars": [], "harnesses": {}},  # Hugging Face's hub
    "/identity/token": _IAM_TOKEN,  # IBM Cloud
    "/v2/projects/project": {"entity": {"storage": {"type": "bmcos_object_storage"}}},  # watsonx
    "/foundation_model_specs": {"resources": [{"model_id": MODEL}]},  # watsonx
}
"""Bodies of answers, by the end of the path."""


def _nothing(path: str) -> None:
    pass


@dataclass(slots=True)
class Answers(Script):
    """Answers each path by its ending; an unknown path gets a 404."""

    look: Callable[[str], None] = _nothing
    paths: list[str] = field(default_factory=list)

    def next(self, path: str) -> Reply:
        """Call ``look`` and return the answer."""
        self.paths.append(path)
        self.look(path)
        for ending, body in ANSWERS.items():
            if path.endswith(ending):
                return _reply(200, body)
        return _reply(404, {"error": {"message": "the fake doesn't know this path"}})


def _reply(status: int, body: Any) -> Reply:
    return Reply(
        status=status,
        headers=(("content-type", "application/json"),),
        chunks=((0.0, json.dumps(body).encode()),),
    )


class FakeLLMs(HTTP1Server):
    """A server of all providers.

    It calls ``look`` on its loop with the path of each request, before it answers.
    """

    def __init__(self, servers: ServerLoop, **settings: Any) -> None:
        super().__init__(servers, **settings)
        self.script = self.answers = Answers()

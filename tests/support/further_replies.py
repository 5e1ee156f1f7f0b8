"""Answers that the fake provider lacks: OpenAI's responses and embeddings, Anthropic's models."""

from typing import Any

from gluellm_pools.fake_provider.messages import event

from .fake_llms import ANSWERS

_PART = {"type": "output_text", "text": "hi", "annotations": []}
_ITEM = {"type": "message", "id": "m1", "role": "assistant", "status": "completed"}
_RESPONSE = {
    "id": "r1",
    "object": "response",
    "created_at": 1,
    "model": "model-1",
    "status": "completed",
    "output": [{**_ITEM, "content": [_PART]}],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
}
_STREAM: tuple[dict[str, Any], ...] = (
    {"type": "response.created", "response": {**_RESPONSE, "status": "in_progress", "output": []}},
    {
        "type": "response.output_text.delta",
        "item_id": "m1",
        "delta": "hi",
        "logprobs": [],
        "output_index": 0,
        "content_index": 0,
    },
    {"type": "response.completed", "response": _RESPONSE},
)


def _response(fields: dict[str, Any]) -> object:
    if not fields.get("stream"):
        return _RESPONSE
    numbered = ({**one, "sequence_number": number} for number, one in enumerate(_STREAM))
    return b"".join(event(one, one["type"]) for one in numbered)


_MODEL = {"id": "demo", "object": "model", "created": 1, "owned_by": "demo"}
_ANTHROPIC_MODEL = {"type": "model", "display_name": "Demo", "created_at": "2026-01-01T00:00:00Z"}

REPLIES: dict[tuple[str, str], object] = {
    ("POST", "/v1/responses"): _response,
    ("POST", "/v1/embeddings"): ANSWERS["/embeddings"],
    ("GET", "/v1/models"): {
        "object": "list",
        "data": [{**_MODEL, **_ANTHROPIC_MODEL}],
        "has_more": False,
        "first_id": "demo",
        "last_id": "demo",
    },
}
"""For ``FakeProvider(replies=...)``."""

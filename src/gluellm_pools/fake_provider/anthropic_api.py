"""The Anthropic API: messages.

Formats as in https://docs.anthropic.com/en/api, as far as the official SDK reads them.
"""

from __future__ import annotations

from typing import Any

from .messages import Answer, ApiRequest, Stream, event, whole, words

_ERROR_TYPES = {429: "rate_limit_error", 529: "overloaded_error"}


def error(status: int, message: str) -> Answer:
    usual = "api_error" if status >= 500 else "invalid_request_error"
    kind = _ERROR_TYPES.get(status, usual)
    return whole({"type": "error", "error": {"type": kind, "message": message}}, status)


def answer(request: ApiRequest, tokens: int, number: int) -> Answer | None:
    """The answer to a request, or None when the API has no such endpoint."""
    if (request.method, request.path) != ("POST", "/v1/messages"):
        return None
    fields = request.fields
    if fields.get("stream"):
        return _stream(fields, tokens, number)
    content = [{"type": "text", "text": "".join(words(tokens))}]
    return whole(_message(fields, number, tokens, content=content, stop_reason="end_turn"))


def _message(fields: dict[str, Any], number: int, tokens: int, **more: object) -> dict[str, Any]:
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": str(fields.get("model", "demo")),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 4, "output_tokens": tokens},
        **more,
    }


def _stream(fields: dict[str, Any], tokens: int, number: int) -> Answer:
    def send(kind: str, **more: object) -> bytes:
        return event({"type": kind, **more}, kind)

    opening = (
        send("message_start", message=_message(fields, number, 0))
        + send("content_block_start", index=0, content_block={"type": "text", "text": ""})
        + send("ping")
    )
    deltas = tuple(
        send("content_block_delta", index=0, delta={"type": "text_delta", "text": word})
        for word in words(tokens)
    )
    closing = (
        send("content_block_stop", index=0)
        + send(
            "message_delta",
            delta={"stop_reason": "end_turn", "stop_sequence": None},
            usage={"output_tokens": tokens},
        )
        + send("message_stop")
    )
    return Stream(opening, deltas, closing)

"""The Anthropic API: messages, token counts, models.

Formats as in https://docs.anthropic.com/en/api, as far as the official SDK reads them.
"""

from __future__ import annotations

from typing import Any

from .messages import Answer, Request, Stream, event, whole, words

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def error(status: int, message: str) -> Answer:
    kind = _ERROR_TYPES.get(status, "api_error")
    return whole({"type": "error", "error": {"type": kind, "message": message}}, status)


def answer(request: Request, tokens: int, number: int) -> Answer | None:
    """The answer to a request, or None when the API has no such endpoint."""
    fields = request.fields
    match request.method, request.path:
        case "POST", "/v1/messages":
            if fields.get("stream"):
                return _stream(fields, tokens, number)
            content = [{"type": "text", "text": "".join(words(tokens))}]
            return whole(_message(fields, number, content, "end_turn", tokens))
        case "POST", "/v1/messages/count_tokens":
            return whole({"input_tokens": 4})
        case "GET", "/v1/models":
            model = {
                "type": "model",
                "id": "demo",
                "display_name": "Demo",
                "created_at": "2026-01-01T00:00:00Z",
            }
            return whole(
                {"data": [model], "has_more": False, "first_id": "demo", "last_id": "demo"}
            )
        case _:
            return None


def _message(
    fields: dict[str, Any],
    number: int,
    content: list[dict[str, str]],
    stop_reason: str | None,
    tokens: int,
) -> dict[str, Any]:
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": str(fields.get("model", "demo")),
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 4, "output_tokens": tokens},
    }


def _stream(fields: dict[str, Any], tokens: int, number: int) -> Answer:
    def send(kind: str, **more: object) -> bytes:
        return event({"type": kind, **more}, kind)

    opening = (
        send("message_start", message=_message(fields, number, [], None, 0))
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

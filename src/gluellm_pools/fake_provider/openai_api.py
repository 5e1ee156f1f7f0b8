"""The OpenAI API: chat completions, models.

Formats as in https://platform.openai.com/docs/api-reference, as far as the official SDK reads them.
"""

from __future__ import annotations

from typing import Any

from .messages import Answer, ApiRequest, Stream, event, whole, words

_CREATED = 1_700_000_000


def error(status: int, message: str) -> Answer:
    usual = "server_error" if status >= 500 else "invalid_request_error"
    kind = "rate_limit_error" if status == 429 else usual
    body = {"error": {"message": message, "type": kind, "param": None, "code": None}}
    return whole(body, status)


def answer(request: ApiRequest, tokens: int, number: int) -> Answer | None:
    """The answer to a request, or None when the API has no such endpoint."""
    fields = request.fields
    match request.method, request.path:
        case "POST", "/v1/chat/completions":
            make = _chat_stream if fields.get("stream") else _chat
            return make(fields, tokens, number)
        case "GET", "/v1/models":
            model = {"id": "demo", "object": "model", "created": _CREATED, "owned_by": "demo"}
            return whole({"object": "list", "data": [model]})
        case _:
            return None


def _usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": 4, "completion_tokens": tokens, "total_tokens": 4 + tokens}


def _chat_object(
    fields: dict[str, Any], number: int, kind: str, choices: list[dict[str, Any]], **more: object
) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{number}",
        "object": kind,
        "created": _CREATED,
        "model": str(fields.get("model", "demo")),
        "choices": [{"index": 0, "logprobs": None, **choice} for choice in choices],
        **more,
    }


def _chat(fields: dict[str, Any], tokens: int, number: int) -> Answer:
    message = {"role": "assistant", "content": "".join(words(tokens)), "refusal": None}
    choices = [{"message": message, "finish_reason": "stop"}]
    usage = _usage(tokens)
    return whole(_chat_object(fields, number, "chat.completion", choices, usage=usage))


def _chat_stream(fields: dict[str, Any], tokens: int, number: int) -> Answer:
    def chunk(*deltas: dict[str, str], finish: str | None = None, **more: object) -> bytes:
        choices = [{"delta": delta, "finish_reason": finish} for delta in deltas]
        return event(_chat_object(fields, number, "chat.completion.chunk", choices, **more))

    closing = chunk({}, finish="stop")
    if (fields.get("stream_options") or {}).get("include_usage"):
        closing += chunk(usage=_usage(tokens))
    return Stream(
        chunk({"role": "assistant", "content": ""}),
        tuple(chunk({"content": word}) for word in words(tokens)),
        closing + event("[DONE]"),
    )

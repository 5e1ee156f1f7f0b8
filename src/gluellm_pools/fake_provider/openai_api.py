"""The OpenAI API: chat completions, responses, embeddings, models.

Formats as in https://platform.openai.com/docs/api-reference, as far as the official SDK reads them.
"""

from __future__ import annotations

import base64
import struct
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
        case "POST", "/v1/responses":
            make = _response_stream if fields.get("stream") else _response
        case "POST", "/v1/embeddings":
            return _embeddings(fields)
        case "GET", "/v1/models":
            model = {"id": "demo", "object": "model", "created": _CREATED, "owned_by": "demo"}
            return whole({"object": "list", "data": [model]})
        case _:
            return None
    return make(fields, tokens, number)


def _model(fields: dict[str, Any]) -> str:
    return str(fields.get("model", "demo"))


def _usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": 4, "completion_tokens": tokens, "total_tokens": 4 + tokens}


def _chat_object(
    fields: dict[str, Any], number: int, kind: str, choices: list[dict[str, Any]], **more: object
) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{number}",
        "object": kind,
        "created": _CREATED,
        "model": _model(fields),
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


def _response_object(fields: dict[str, Any], number: int, **more: object) -> dict[str, Any]:
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": _CREATED,
        "model": _model(fields),
        "status": "in_progress",
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        **more,
    }


def _completed(fields: dict[str, Any], tokens: int, number: int) -> dict[str, Any]:
    usage = {"input_tokens": 4, "output_tokens": tokens, "total_tokens": 4 + tokens}
    output = [_item(number, "completed", [_part("".join(words(tokens)))])]
    return _response_object(fields, number, status="completed", output=output, usage=usage)


def _item(number: int, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    message = {"id": f"msg_{number}", "type": "message", "role": "assistant"}
    return {**message, "status": status, "content": content}


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


def _response(fields: dict[str, Any], tokens: int, number: int) -> Answer:
    return whole(_completed(fields, tokens, number))


def _response_stream(fields: dict[str, Any], tokens: int, number: int) -> Answer:
    sequence = 0

    def send(kind: str, **more: object) -> bytes:
        nonlocal sequence
        sequence += 1
        return event({"type": kind, "sequence_number": sequence - 1, **more}, kind)

    item = {"item_id": f"msg_{number}", "output_index": 0, "content_index": 0}
    text = "".join(words(tokens))
    opening = (
        send("response.created", response=_response_object(fields, number))
        + send("response.in_progress", response=_response_object(fields, number))
        + send("response.output_item.added", output_index=0, item=_item(number, "in_progress", []))
        + send("response.content_part.added", part=_part(""), **item)
    )
    deltas = tuple(
        send("response.output_text.delta", delta=word, logprobs=[], **item)
        for word in words(tokens)
    )
    done = _item(number, "completed", [_part(text)])
    closing = (
        send("response.output_text.done", text=text, logprobs=[], **item)
        + send("response.content_part.done", part=_part(text), **item)
        + send("response.output_item.done", output_index=0, item=done)
        + send("response.completed", response=_completed(fields, tokens, number))
    )
    return Stream(opening, deltas, closing)


def _embeddings(fields: dict[str, Any]) -> Answer:
    inputs = fields.get("input")
    count = len(inputs) if isinstance(inputs, list) else 1
    vector: list[float] | str = [0.1, 0.2, 0.3]
    if fields.get("encoding_format") == "base64":
        vector = base64.b64encode(struct.pack("<3f", 0.1, 0.2, 0.3)).decode()
    data = [{"object": "embedding", "index": n, "embedding": vector} for n in range(count)]
    usage = {"prompt_tokens": 4, "total_tokens": 4}
    return whole({"object": "list", "data": data, "model": _model(fields), "usage": usage})

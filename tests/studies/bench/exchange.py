"""The request and the response of every measurement, for all libraries."""

from typing import Final

from .network import Answer, answer, streamed

URL: Final = "http://api.openai.com/v1/chat/completions"
OUTSIDE: Final = "http://storage.example.com/v1/objects"
"""No call of a model."""
QUESTION: Final = {
    "model": "gpt-5",
    "messages": [{"role": "user", "content": "What does a connection pool cost? " * 8}],
}
BODY: Final = (
    b'{"id":"chatcmpl-0123456789","object":"chat.completion","created":1793613600,"model":"gpt-5",'
    b'"choices":[{"index":0,"message":{"role":"assistant","content":"Less than it saves."},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":64,"completion_tokens":6,"total_tokens":70}}'
)
CHUNKS: Final = 200
CHUNK: Final = b'data: {"choices":[{"index":0,"delta":{"content":" token"}}]}\n\n'


def parts(*, streaming: bool) -> Answer:
    """The answer as a sequence of reads."""
    return streamed([CHUNK] * CHUNKS) if streaming else answer(BODY)

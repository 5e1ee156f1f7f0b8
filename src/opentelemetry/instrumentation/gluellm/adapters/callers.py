"""Which SDK a pool belongs to, and whether OpenTelemetry exports through it.

Both come from the modules on the call stack. The stack is walked when a pool is built and at its
first request, never for each request of a tracked pool.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType

from ..pool.call_site import ends_search

_DEEPEST = 200

_SAME = (
    "anthropic azure cerebras chromadb cohere fireworks groq huggingface_hub langchain langfuse "
    "langsmith litellm llama_index mcp mistralai ollama openai pinecone replicate together "
    "voyageai weaviate"
)
"""Modules after which their pools are named."""
SDKS = {name: name for name in _SAME.split()} | {
    "botocore": "boto3",
    "elasticapm.transport": "elastic-apm",
    "google.cloud": "google-cloud",
    "google.genai": "google-genai",
    "langchain_community": "langchain",
    "langchain_core": "langchain",
    "qdrant_client": "qdrant",
    "sentry_sdk.transport": "sentry",
    "xai_sdk": "xai",
}
"""Pool names by module. The innermost module on the stack decides: frameworks call SDKs.

Of Sentry and Elastic APM only the deliveries: other modules of theirs wrap the application's
requests."""
_EXPORTERS = ("opentelemetry.sdk", "opentelemetry.exporter")


def sdk_on_stack() -> str | None:
    """The pool name for the SDK whose code is running; None if there is none.

    The search stops at the application's code: a server's module, ``mcp`` for example, may call an
    application that builds a client of its own.
    """
    for module in _modules():
        top, _, rest = module.partition(".")
        name = SDKS.get(top) or SDKS.get(f"{top}.{rest.partition('.')[0]}")
        if name is not None:
            return name
    return None


def gluellm_on_stack() -> bool:
    """Whether GlueLLM's code is running. The search stops at the application's code."""
    return any(module.partition(".")[0] == "gluellm" for module in _modules())


def exporter_on_stack() -> bool:
    """Whether OpenTelemetry's SDK or one of its exporters is on the call stack."""
    return any(module.startswith(_EXPORTERS) for _, module in _frames())


def _modules() -> Iterator[str]:
    for frame, module in _frames():
        yield module
        if ends_search(frame):
            return


def _frames() -> Iterator[tuple[FrameType, str]]:
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_DEEPEST):
        if frame is None:
            return
        module = frame.f_globals.get("__name__")
        if isinstance(module, str):
            yield frame, module
        frame = frame.f_back

"""How each operation of any-llm is called, what the fake provider answers, and the rows of both."""

import inspect
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import any_llm

MODEL = "model-1"

_CHAT = {"messages": [{"role": "user", "content": "hi"}]}
_BATCH_FILE = "batch.jsonl"


@dataclass(frozen=True)
class Recipe:
    """One operation: its arguments beside the model, and what it is to be attributed to."""

    operation: str
    providers: tuple[str, ...] = ("openai",)
    arguments: dict[str, Any] = field(default_factory=dict)
    has_model: bool = True
    streams: bool = False

    def keywords(self, directory: Path) -> dict[str, Any]:
        """The arguments, with a file where one is to be read."""
        keywords = dict(self.arguments)
        if self.has_model:
            keywords["model"] = MODEL
        if "input_file_path" in keywords:
            path = directory / _BATCH_FILE
            line = {"custom_id": "1", "body": {"model": MODEL, "max_tokens": 5, **_CHAT}}
            path.write_text(json.dumps(line) + "\n")
            keywords["input_file_path"] = str(path)
        return keywords


_BOTH = ("openai", "anthropic")
_QUESTION = {"type": "noul", "instructions": "is it?"}

# The name of the sync function -> how to call it.
RECIPES: dict[str, Recipe] = {
    "completion": Recipe("chat", _BOTH, _CHAT, streams=True),
    "messages": Recipe("chat", _BOTH, {**_CHAT, "max_tokens": 5}, streams=True),
    "responses": Recipe("chat", arguments={"input_data": "hi"}, streams=True),
    "embedding": Recipe("embeddings", arguments={"inputs": "hi"}),
    "image_generation": Recipe("image_generation", arguments={"prompt": "a cat"}),
    "image_edit": Recipe("image_edit", arguments={"image": b"png", "prompt": "a cat"}),
    "transcription": Recipe("transcription", arguments={"file": b"wav"}),
    "speech": Recipe("speech", arguments={"input": "hi", "voice": "alloy"}),
    "moderation": Recipe("moderation", arguments={"input": "hi"}),
    "rerank": Recipe("rerank", ("reranker",), {"query": "hi", "documents": ["a", "b"]}),
    "decide": Recipe("decide", ("llamacpp",), {"state": "hi", "questions": {"q": _QUESTION}}),
    "list_models": Recipe("list_models", _BOTH, has_model=False),
    "create_batch": Recipe(
        "create_batch",
        _BOTH,
        {"input_file_path": _BATCH_FILE, "endpoint": "/v1/chat/completions"},
        has_model=False,
    ),
    "retrieve_batch": Recipe("retrieve_batch", _BOTH, {"batch_id": "b1"}, has_model=False),
    "cancel_batch": Recipe("cancel_batch", _BOTH, {"batch_id": "b1"}, has_model=False),
    "list_batches": Recipe("list_batches", _BOTH, has_model=False),
    "retrieve_batch_results": Recipe(
        "retrieve_batch_results", _BOTH, {"batch_id": "b1"}, has_model=False
    ),
    "upload_file": Recipe(
        "upload_file", arguments={"file": b"x", "purpose": "batch"}, has_model=False
    ),
    "list_files": Recipe("list_files", _BOTH, has_model=False),
    "retrieve_file": Recipe("retrieve_file", _BOTH, {"file_id": "f1"}, has_model=False),
    "delete_file": Recipe("delete_file", _BOTH, {"file_id": "f1"}, has_model=False),
    "download_file": Recipe("download_file", _BOTH, {"file_id": "f1"}, has_model=False),
}

# Public functions of any-llm that send no request, and why.
SENDS_NOTHING = {
    "create": "builds a provider: the rows of the clients made late are built by it",
    "create_openai_compatible": "builds a provider: tested on its own",
    "get_all_provider_metadata": "reads classes",
    "get_provider_class": "reads classes",
    "get_provider_enum": "reads classes",
    "get_provider_metadata": "reads classes",
    "get_registry_provider_names": "reads classes",
    "get_supported_providers": "reads classes",
    "resolve_provider_key": "parses a name",
    "serves_messages_natively": "reads classes",
    "split_model_provider": "parses a name",
}

_FILE = {
    "id": "f1",
    "object": "file",
    "type": "file",
    "bytes": 1,
    "size_bytes": 1,
    "created_at": 1,
    "filename": "x",
    "mime_type": "text/plain",
    "purpose": "batch",
    "status": "processed",
    "downloadable": True,
}
_PAGE = {"object": "list", "has_more": False, "first_id": None, "last_id": None}
_BATCH = {
    "id": "b1",
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "input_file_id": "f1",
    "output_file_id": "f1",
    "completion_window": "24h",
    "status": "completed",
    "created_at": 1,
}
_COUNTS = {"processing": 0, "succeeded": 1, "errored": 0, "canceled": 0, "expired": 0}
_MESSAGE_BATCH = {
    "id": "b1",
    "type": "message_batch",
    "processing_status": "ended",
    "request_counts": _COUNTS,
    "created_at": "2026-01-01T00:00:00Z",
    "expires_at": "2026-01-02T00:00:00Z",
    "ended_at": "2026-01-01T00:01:00Z",
    "results_url": "/v1/messages/batches/b1/results",
}
_ANSWER = {"type": "noul", "noul": 0.5}

REPLIES: dict[tuple[str, str], object] = {
    ("POST", "/v1/images/generations"): {"created": 1, "data": [{"url": "http://localhost/x"}]},
    ("POST", "/v1/images/edits"): {"created": 1, "data": [{"url": "http://localhost/x"}]},
    ("POST", "/v1/audio/transcriptions"): {"text": "hi"},
    ("POST", "/v1/audio/speech"): b"wav",
    ("POST", "/v1/moderations"): {
        "id": "m1",
        "model": MODEL,
        "results": [{"flagged": False, "categories": {}, "category_scores": {}}],
    },
    ("POST", "/v1/rerank"): {"id": "r1", "results": [{"index": 0, "relevance_score": 1.0}]},
    ("POST", "/v1/systemone"): {"answers": {"q": _ANSWER}},
    ("POST", "/v1/files"): _FILE,
    ("GET", "/v1/files"): {**_PAGE, "data": [_FILE]},
    ("GET", "/v1/files/f1"): _FILE,
    ("DELETE", "/v1/files/f1"): {"id": "f1", "object": "file", "deleted": True},
    ("GET", "/v1/files/f1/content"): b'{"custom_id": "1", "response": {"body": {}}}\n',
    ("POST", "/v1/batches"): _BATCH,
    ("GET", "/v1/batches"): {**_PAGE, "data": [_BATCH]},
    ("GET", "/v1/batches/b1"): _BATCH,
    ("POST", "/v1/batches/b1/cancel"): _BATCH,
    ("POST", "/v1/messages/batches"): _MESSAGE_BATCH,
    ("GET", "/v1/messages/batches"): {**_PAGE, "data": [_MESSAGE_BATCH]},
    ("GET", "/v1/messages/batches/b1"): _MESSAGE_BATCH,
    ("POST", "/v1/messages/batches/b1/cancel"): _MESSAGE_BATCH,
    ("GET", "/v1/messages/batches/b1/results"): b"",
}


# Where the client, and with it the pool, comes from.
METHOD_ORIGINS = ("created late", "created early", "at the first call", "handed in")
FUNCTION_ORIGINS = ("per call", "handed in")
EVERY_ORIGIN = ("completion", "acompletion", "adownload_file")
"""Calls that have a row for each; the others have one for the first."""


@dataclass(frozen=True)
class Row:
    """One public way to send a request."""

    name: str
    recipe: Recipe
    function: bool
    """Of the module; else a method of a provider's instance."""
    provider: str
    streaming: bool
    origin: str

    @property
    def asynchronous(self) -> bool:
        return self.name not in RECIPES

    def __str__(self) -> str:
        level = "any_llm" if self.function else "AnyLLM"
        streaming = "stream" if self.streaming else "whole"
        return f"{level}.{self.name}-{self.provider}-{streaming}-{self.origin.replace(' ', '_')}"


def public_functions() -> set[str]:
    """The callables of ``any_llm.__all__`` that are no classes."""
    return {name for name in any_llm.__all__ if inspect.isroutine(getattr(any_llm, name))}


def public_methods() -> set[str]:
    """The public methods of `AnyLLM`, those of its file mix-in among them."""
    return {
        name
        for name in dir(any_llm.AnyLLM)
        if not name.startswith("_") and inspect.isroutine(getattr(any_llm.AnyLLM, name))
    }


def recipe_of(name: str) -> Recipe | None:
    return RECIPES.get(name) or (RECIPES.get(name[1:]) if name.startswith("a") else None)


def rows() -> Iterator[Row]:
    """Every row: what any-llm has that no recipe knows is left to `unknown`."""
    for function, names, origins in (
        (False, public_methods(), METHOD_ORIGINS),
        (True, public_functions(), FUNCTION_ORIGINS),
    ):
        for name in sorted(names):
            recipe = recipe_of(name)
            if recipe is None:
                continue
            for provider in recipe.providers:
                for streaming in (False, True) if recipe.streams else (False,):
                    for origin in origins if name in EVERY_ORIGIN else origins[:1]:
                        yield Row(name, recipe, function, provider, streaming, origin)


def unknown() -> set[str]:
    """Public names of any-llm that have no row and no reason for having none."""
    return {
        name
        for name in public_functions() | public_methods()
        if recipe_of(name) is None and name not in SENDS_NOTHING
    }

"""Attribution of each public function of any-llm that sends requests, by origin of its client."""

import asyncio
import contextlib
import inspect
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import any_llm
import pytest
from any_llm.utils.aio import run_async_in_sync

from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from support.providers import arguments, create

from . import providers

MODEL = "model-1"
CHAT = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
BATCH, FILE = {"batch_id": "b1"}, {"file_id": "f1"}
QUESTION = {"type": "noul", "instructions": "is it?"}
WITH_MODEL: dict[str, dict[str, Any]] = {
    "completion": CHAT,
    "messages": CHAT,
    "responses": {"input_data": "hi"},
    "embedding": {"inputs": "hi"},
    "image_generation": {"prompt": "a cat"},
    "image_edit": {"image": b"png", "prompt": "a cat"},
    "transcription": {"file": b"wav"},
    "speech": {"input": "hi", "voice": "alloy"},
    "moderation": {"input": "hi"},
    "rerank": {"query": "hi", "documents": ["a", "b"]},
    "decide": {"state": "hi", "questions": {"q": QUESTION}},
}
"""Arguments of each call, by the name of its synchronous form."""
WITHOUT_MODEL: dict[str, dict[str, Any]] = {
    "list_models": {},
    "create_batch": {"input_file_path": "batch.jsonl", "endpoint": "/v1/chat/completions"},
    "retrieve_batch": BATCH,
    "cancel_batch": BATCH,
    "list_batches": {},
    "retrieve_batch_results": BATCH,
    "upload_file": {"file": b"x", "purpose": "batch"},
    "list_files": {},
    "retrieve_file": FILE,
    "delete_file": FILE,
    "download_file": FILE,
}
ARGUMENTS = WITH_MODEL | WITHOUT_MODEL
PROVIDERS = {
    name: ("openai", "anthropic")
    for name in ("completion", "messages", *WITHOUT_MODEL)
    if name != "upload_file"
}
PROVIDERS |= {"rerank": ("reranker",), "decide": ("llamacpp",)}
STREAMS = ("completion", "messages", "responses")
OPERATIONS = {**dict.fromkeys(STREAMS, "chat"), "embedding": "embeddings"}
ANSWERED = (*STREAMS, "embedding", "list_models", "download_file")
"""Calls that the fake provider answers. It refuses the others, but they are attributed as well."""
SENDS_NOTHING = {
    *("create", "create_openai_compatible", "resolve_provider_key", "split_model_provider"),
    *("get_all_provider_metadata", "get_provider_class", "get_provider_enum"),
    *("get_provider_metadata", "get_registry_provider_names", "get_supported_providers"),
    "serves_messages_natively",
}
METHOD_ORIGINS = ("created late", "created early", "at the first call", "handed in")
FUNCTION_ORIGINS = ("per call", "handed in")
EVERY_ORIGIN = ("completion", "acompletion", "adownload_file")
"""Calls that have a row for each origin. The others have a row only for the first."""


def public_names(owner: Any, names: Any) -> set[str]:
    """Return the public functions among names of any-llm's class or module."""
    return {n for n in names if n[0] != "_" and inspect.isroutine(getattr(owner, n))}


METHODS = public_names(any_llm.AnyLLM, dir(any_llm.AnyLLM))
FUNCTIONS = public_names(any_llm, any_llm.__all__)


def sync_name(name: str) -> str | None:
    """Return the synchronous name of a call, or None if the function is not a call."""
    return next((n for n in (name, name.removeprefix("a")) if n in ARGUMENTS), None)


def rows() -> Iterator[tuple[str, str, str, bool, str]]:
    """Yield a row for each way to send a request."""
    levels = ("AnyLLM", METHODS, METHOD_ORIGINS), ("any_llm", FUNCTIONS, FUNCTION_ORIGINS)
    for level, names, origins in levels:
        for name in sorted(names):
            call = sync_name(name)
            for provider in PROVIDERS.get(call, ("openai",)) if call else ():
                for streaming in (False, True) if call in STREAMS else (False,):
                    for origin in origins if name in EVERY_ORIGIN else origins[:1]:
                        yield level, name, provider, streaming, origin


def test_every_public_function_and_method_has_a_row():
    """This test fails if a release of any-llm adds a function or method."""
    assert {name for name in METHODS | FUNCTIONS if not sync_name(name)} == SENDS_NOTHING


@pytest.mark.parametrize("row", rows(), ids=lambda row: "-".join(map(str, row)))
def test_request_is_attributed(
    row, attribution, errors, probe, provider_server, monkeypatch, tmp_path
):
    """The pool has provider, model and operation of the request. After the call, nothing does."""
    level, name, key, streaming, origin = row
    providers.register_reranker(monkeypatch)
    handed_in = {"http_client": providers.http_client(key)} if origin == "handed in" else {}
    early = create(key, provider_server) if origin == "created early" else None
    attribution.install()
    sync = sync_name(name)
    keywords = dict(ARGUMENTS[sync])
    if sync in WITH_MODEL:
        keywords["model"] = MODEL
    if sync == "create_batch":
        keywords["input_file_path"] = tmp_path / "batch.jsonl"
        line = {"custom_id": "1", "body": {"model": MODEL, **CHAT}}
        keywords["input_file_path"].write_text(json.dumps(line) + "\n")
    if streaming:
        keywords["stream"] = True
    if level == "any_llm":
        keywords |= {"provider": key, **arguments(key, provider_server)}
        if handed_in:
            keywords["client_args"] = handed_in
        call = getattr(any_llm, name)
    elif origin == "at the first call":
        call = getattr(providers.create_lazy(key, provider_server), name)
    else:
        call = getattr(early or create(key, provider_server, **handed_in), name)

    refused = (
        contextlib.nullcontext()
        if sync in ANSWERED
        else pytest.raises(Exception, match="no such endpoint")
    )
    if name == sync:
        with refused:
            _consume(call, keywords)
        run_async_in_sync(probe.close())
    else:
        asyncio.run(_consume_async(call, keywords, probe, refused))

    claim = (key, keywords.get("model"), OPERATIONS.get(sync, sync))
    assert probe.requests
    assert probe.claims == [claim] * len(probe.requests)
    (of_all,) = {seen.call for seen in probe.requests}
    assert of_all.ended
    builder = probe.builders[-1]
    assert (builder and (builder.provider, builder.operation)) == {
        "created early": None,
        "handed in": None,
        "created late": (key, None),
        "per call": (key, None),
        "at the first call": (key, claim[2]),
    }[origin]
    assert current_call.get() is None
    assert errors == []


async def _consume_async(call: Any, keywords: dict[str, Any], probe: Any, refused: Any) -> None:
    with refused:
        if call.__name__ == "adownload_file":
            async with call(**keywords) as download:
                assert current_call.get() is None
                await _read(download)
        else:
            result = await call(**keywords)
            assert current_call.get() is None
            if keywords.get("stream"):
                await _read(result)
    await probe.close()


async def _read(stream: AsyncIterator[Any]) -> None:
    count = 0
    async for _ in stream:
        count += 1
        assert current_call.get() is None, "the consumer of a stream sees nothing of the call"
    assert count


def _consume(call: Any, keywords: dict[str, Any]) -> None:
    result = call(**keywords)
    if inspect.ismethod(call) and call.__name__ == "download_file":
        with result as download:
            assert b"".join(download)
    elif keywords.get("stream"):
        count = 0
        for _ in result:
            count += 1
            assert current_call.get() is None
        assert count

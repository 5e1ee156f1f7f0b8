"""Builds each provider with public settings that lead to the fake one, and calls it."""

from collections.abc import Callable, Mapping
from typing import Any

import any_llm

from support.fake_llms import MODEL
from support.providers import arguments_at

from .rows import DECIDE, EMBEDDINGS, Row

_QUESTION = [{"role": "user", "content": "hi"}]


def create(provider: str, origin: str, **more: Any) -> Any:
    """The provider's instance, with a key that opens nothing."""
    given = arguments_at(provider, origin)
    for name, value in more.items():
        nested = isinstance(value, dict) and isinstance(given.get(name), dict)
        given[name] = {**given[name], **value} if nested else value
    return any_llm.AnyLLM.create(provider, **given)


async def call(instance: Any, row: Row) -> Any:
    """One call: a chat, or what the provider has instead."""
    if row.operation == EMBEDDINGS:
        return await instance.aembedding(model=MODEL, inputs="hi")
    if row.operation == DECIDE:
        question = {"type": "noul", "instructions": "is it?"}
        return await instance.adecide(model=MODEL, state="hi", questions={"q": question})
    return await instance.acompletion(model=MODEL, messages=_QUESTION)


def call_sync(instance: Any) -> Any:
    """One chat through any-llm's sync interface."""
    return instance.completion(model=MODEL, messages=_QUESTION)


OTHER_CALLS: Mapping[str, Callable[[Any], Any]] = {
    "messages": lambda one: one.messages(model=MODEL, max_tokens=5, messages=_QUESTION),
    "stream": lambda one: list(one.completion(model=MODEL, stream=True, messages=_QUESTION)),
}
"""Synchronous calls other than a whole chat."""

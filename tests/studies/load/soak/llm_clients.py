"""any-llm: its two providers with a fake one, for event loops and for threads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anthropic
import any_llm
import httpx
import httpx2
import openai

from .clients import Wish
from .places import REFUSED

_MESSAGES = [{"role": "user", "content": "hi"}]
_EXPECTED: tuple[type, ...] = (
    openai.OpenAIError,
    anthropic.AnthropicError,
    any_llm.exceptions.AnyLLMError,
    httpx.HTTPError,
    httpx.StreamError,
    httpx2.HTTPError,
    httpx2.StreamError,
)


class AnyLLMLibrary:
    """Instances of one provider."""

    expected = _EXPECTED
    wheres: tuple[str, ...] = (REFUSED,)

    def __init__(self, provider: str, *, asynchronous: bool) -> None:
        self.name = f"any-llm {provider} {'async' if asynchronous else 'sync'}"
        self._provider = provider
        self._asynchronous = asynchronous

    def __call__(self, wish: Wish) -> Any:
        """An instance, which has a client and a pool."""
        library = httpx if self._provider == "anthropic" else httpx2
        base = {"openai": wish.places.openai, "anthropic": wish.places.anthropic}[self._provider]
        llm = any_llm.AnyLLM.create(
            self._provider,
            api_key="any",
            api_base=wish.places.refused if wish.where == REFUSED else base,
            max_retries=0,
            timeout=library.Timeout(wish.timeout, pool=wish.pool_timeout),
        )
        return _Async(llm) if self._asynchronous else _Sync(llm)


def _options(answer: str, *, stream: bool) -> dict[str, Any]:
    return {"model": answer, "messages": _MESSAGES, "max_tokens": 16, "stream": stream}


class _Async:
    def __init__(self, llm: Any) -> None:
        self._llm = llm
        self.raw = llm.client

    async def get(self, answer: str) -> None:
        await self._llm.acompletion(**_options(answer, stream=False))

    async def open(self, answer: str) -> AsyncIterator[Any]:
        stream: AsyncIterator[Any] = await self._llm.acompletion(**_options(answer, stream=True))
        return stream

    async def close(self) -> None:
        await self._llm.client.close()


class _Sync:
    def __init__(self, llm: Any) -> None:
        self._llm = llm
        self.raw = llm.client

    def get(self, answer: str) -> None:
        self._llm.completion(**_options(answer, stream=False))

    def open(self, answer: str) -> Iterator[Any]:
        stream: Iterator[Any] = iter(self._llm.completion(**_options(answer, stream=True)))
        return stream

    def close(self) -> None:
        """any-llm's sync calls run in a loop of its own, where nobody can close what they use."""

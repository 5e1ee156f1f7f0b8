"""Whole calls of openai's SDK, or of any-llm with its provider class for openai."""

from typing import Any

from any_llm import AnyLLM
from openai import AsyncOpenAI

from ..exchange import QUESTION, URL, parts
from ..network import AsyncBackend
from .base import Client

_BASE = URL.removesuffix("/chat/completions")


class AsyncClient(Client):
    """The SDK's own client, on a scripted network. Each request is a call of its own."""

    def __init__(self, library: str, *, streaming: bool) -> None:
        if library == "openai":
            sdk: Any = AsyncOpenAI(base_url=_BASE, api_key="any")
            self._call: Any = sdk.chat.completions.create
        else:
            provider: Any = AnyLLM.create("openai", api_base=_BASE, api_key="any")
            sdk, self._call = provider.client, provider.acompletion
        backend: Any = AsyncBackend(parts(streaming=streaming))
        sdk._client._transport._pool._network_backend = backend

    async def send_one(self) -> None:
        await self._call(**QUESTION)

    async def stream_one(self) -> None:
        async for _chunk in await self._call(**QUESTION, stream=True):
            pass

"""Real any-llm clients, with or without an HTTP client of the application's own."""

from __future__ import annotations

import asyncio
import importlib
import random
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import any_llm

from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProvider

from .plan import ANTHROPIC, Setting

_WORDS = "the quick brown fox jumps over the lazy dog and asks a model why "

Work = Callable[[], float]
"""How long the next pause between two chunks is."""


def arguments(setting: Setting, provider: FakeProvider) -> dict[str, Any]:
    """What any-llm needs to reach the fake provider."""
    base = provider.anthropic_url if setting.provider == ANTHROPIC else provider.openai_url
    return {"api_key": "any", "api_base": base}


def client_library(sdk: str) -> ModuleType:
    """The HTTP library that an SDK is built on."""
    client_class = importlib.import_module(sdk).DefaultAsyncHttpxClient
    names = (base.__module__.partition(".")[0] for base in client_class.__mro__)
    return importlib.import_module(next(name for name in names if name in ("httpx", "httpx2")))


def create(setting: Setting, provider: FakeProvider, **more: Any) -> Any:
    """An instance with a pool as the setting has it. ``more`` is for ``AnyLLM.create``."""
    library = client_library(setting.provider)
    timeout = library.Timeout(
        setting.read_timeout, connect=setting.connect_timeout, pool=setting.pool_timeout
    )
    options: dict[str, Any] = {"timeout": timeout, "max_retries": setting.retries}
    if setting.connections is not None or setting.http2:
        options["http_client"] = library.AsyncClient(
            http1=not setting.http2,
            http2=setting.http2,
            limits=library.Limits(
                max_connections=setting.connections, keepalive_expiry=setting.keepalive_expiry
            ),
            trust_env=False,
        )
    return any_llm.AnyLLM.create(
        setting.provider, **{**arguments(setting, provider), **options, **more}
    )


def messages(characters: int, rng: random.Random) -> list[dict[str, Any]]:
    """A prompt of about that length, in one message or in a conversation."""
    text = (_WORDS * (characters // len(_WORDS) + 1))[:characters]
    if rng.random() < 0.5:
        return [{"role": "user", "content": text}]
    half = characters // 2
    return [
        {"role": "user", "content": text[:half] or "hi"},
        {"role": "assistant", "content": "Go on."},
        {"role": "user", "content": text[half:] or "yes"},
    ]


async def ask(llm: Any, options: dict[str, Any], work: Work) -> None:
    """One call, its answer read to the end. Raises whatever any-llm does."""
    if not options.get("stream"):
        await llm.acompletion(**options)
        return
    async for _ in await llm.acompletion(**options):
        if pause := work():
            await asyncio.sleep(pause)


def ask_in_thread(llm: Any, options: dict[str, Any], work: Work) -> None:
    """The same with the synchronous API."""
    answer = llm.completion(**options)
    if options.get("stream"):
        for _ in answer:
            if pause := work():
                time.sleep(pause)

"""Real any-llm providers that talk to the fake one, and what is under way in their pools."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import any_llm
import openai

from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProvider

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 100}
STREAM: dict[str, Any] = {**CHAT, "stream": True}
OPENAI_LIBRARY = "httpx2" if int(openai.__version__.split(".")[0]) >= 3 else "httpx"
LIBRARY = {"openai": OPENAI_LIBRARY, "anthropic": "httpx"}
"""What the providers' SDKs run on."""


def arguments(provider: str, server: FakeProvider) -> dict[str, Any]:
    """What a provider needs to reach the fake one."""
    base = server.anthropic_url if provider == "anthropic" else server.openai_url
    return {"api_key": "any", "api_base": base}


def create(provider: str, server: FakeProvider, **more: Any) -> Any:
    """A provider's instance, with a pool of its own."""
    return any_llm.AnyLLM.create(provider, **arguments(provider, server), **more)


def phases(model: str) -> list[str]:
    """The phases of the requests for a model that are under way."""
    return [
        request.phase
        for pool in snapshot().pools
        for request in pool.requests
        if request.model == model
    ]


def environment(**more: str) -> dict[str, str]:
    """The environment of a script in a process of its own, which imports what the tests do."""
    here = Path(__file__).parent
    places = [str(here), str(here.parents[1]), os.environ.get("PYTHONPATH", "")]
    paths = os.pathsep.join(place for place in places if place)
    return {**os.environ, "PYTHONPATH": paths, **more}

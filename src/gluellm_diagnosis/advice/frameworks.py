"""How frameworks on top of the openai SDK accept a client and timeouts.

``make -C tests/studies frameworks`` executes each line with the real framework, makes a call, and
checks the limit or the timeout in effect. Verified with openai-agents 0.24, langchain-openai 1.8,
LiteLLM 1.110 and pydantic-ai 2.68.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Framework:
    """One framework's code. ``{}`` stands for an expression."""

    client: str
    """How to pass an asynchronous client."""
    timeout: str
    """How to pass a ``Timeout``."""
    synchronous: str = ""
    """How to pass a synchronous client; empty if the framework uses none."""


_CLIENT = "agents.set_default_openai_client(openai.AsyncOpenAI({}={{}}))"
LITELLM = "litellm"
FRAMEWORKS = {
    "agents.models": Framework(_CLIENT.format("http_client"), _CLIENT.format("timeout")),
    "langchain_openai": Framework(
        "ChatOpenAI(http_async_client={})", "ChatOpenAI(timeout={})", "ChatOpenAI(http_client={})"
    ),
    LITELLM: Framework(
        "litellm.aclient_session = {}",
        "litellm.acompletion(..., timeout={})",
        "litellm.client_session = {}",
    ),
    "pydantic_ai.models": Framework(
        "OpenAIProvider(http_client={})", "OpenAIChatModel(..., settings=ModelSettings(timeout={}))"
    ),
}
"""By a module that the framework imports."""


def the_only(imported: Collection[str]) -> str | None:
    """Return the framework whose module is imported; None if there are several, or none."""
    found = [module for module in FRAMEWORKS if module in imported]
    return found[0] if len(found) == 1 else None

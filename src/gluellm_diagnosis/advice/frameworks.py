"""How frameworks on top of an SDK accept a client, timeouts and a number of retries.

``make -C tests/studies frameworks`` executes each line with the real framework, makes a call, and
checks the limit, timeout or number of requests. Verified with openai-agents 0.24, langchain-openai
1.8, langchain-anthropic 1.7, LiteLLM 1.110 and pydantic-ai 2.68.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Framework:
    """One framework's code."""

    how: str
    """How to pass arguments to the SDK. ``{}`` stands for them."""
    client: str = "http_client={}"
    """Argument or statement that sets an asynchronous client."""
    synchronous: str = ""
    """Argument or statement for a synchronous client; empty if the framework uses none."""
    numbers: bool = False
    """Whether the framework takes ``timeout`` in seconds, and no client."""
    sdk: str = "openai"
    lazy: bool = False
    """Whether the framework's streams are generators instead of context managers."""

    def line(self, argument: str) -> str:
        """Return the code that passes an argument, or the statement itself."""
        return argument if " = " in argument else self.how.format(argument)


_OPENAI = "openai.AsyncOpenAI({})"
LITELLM = "litellm"
FRAMEWORKS = {
    "agents.models": Framework(f"agents.set_default_openai_client({_OPENAI})"),
    "langchain_anthropic": Framework("ChatAnthropic({})", numbers=True, sdk="anthropic", lazy=True),
    "langchain_openai": Framework(
        "ChatOpenAI({})", "http_async_client={}", "http_client={}", lazy=True
    ),
    LITELLM: Framework(
        "litellm.acompletion(..., {})",
        "litellm.aclient_session = {}",
        "litellm.client_session = {}",
    ),
    "pydantic_ai.models": Framework(f"OpenAIProvider(openai_client={_OPENAI})"),
}
"""By a module that the framework imports."""


def the_only(imported: Collection[str], sdk: str) -> Framework | None:
    """Return the framework on an SDK whose module is imported; None if there are several."""
    found = [one for module, one in FRAMEWORKS.items() if module in imported and one.sdk == sdk]
    return found[0] if len(found) == 1 else None

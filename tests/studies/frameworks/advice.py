"""Follows the advice on each framework literally, as people would."""

import asyncio
import os
from collections.abc import Callable
from functools import partial
from typing import Any

from gluellm_diagnosis.advice.advisor import advisor_for, without_retries

from .harness import MESSAGES, QUESTION, Case, anthropic_url, openai_url
from .llm_frameworks import ANTHROPIC, ANTHROPIC_MODEL, OPENAI, OPENAI_MODEL

_SIZE, _WAIT = 7, 9
Names = dict[str, Any]


def _follow(module: str, use: Callable[..., Any], synchronous: bool, what: str, port: int) -> Any:
    import httpx
    import httpx2
    import openai

    os.environ |= {"OPENAI_BASE_URL": openai_url(port), "OPENAI_API_KEY": "any"}
    os.environ |= {"ANTHROPIC_BASE_URL": anthropic_url(port), "ANTHROPIC_API_KEY": "any"}
    library = "httpx" if module == "litellm" else "httpx2"
    library = "aiohttp" if what == "aiohttp" else library
    advisor = advisor_for(
        "openai", library, gluellm=False, synchronous=synchronous, any_llm=False, imported=[module]
    )
    text = advisor.allow(_SIZE) if what == "connections" else advisor.wait_at_most(_WAIT, None)
    line = text.partition(": ")[2].partition(", or ")[0]
    if what == _RETRIES:
        line = without_retries("anthropic" if "anthropic" in module else "openai", [module])
    names: Names = {"httpx": httpx, "httpx2": httpx2, "openai": openai}
    names |= {"by_name": {"model": f"openai/{OPENAI_MODEL}", "messages": MESSAGES}}

    async def ask() -> str:
        try:
            return str(await use(line, names, synchronous))
        except Exception as error:
            if what != _RETRIES:
                raise
            return type(error).__name__

    return asyncio.run(ask())


async def _agents(line: str, names: Names, _: bool) -> Any:
    import agents

    agents.set_default_openai_api("chat_completions")
    eval(line, names | {"agents": agents})
    agent = agents.Agent(name="agent", instructions="Answer.", model=OPENAI_MODEL)
    return (await agents.Runner.run(agent, QUESTION)).final_output


async def _langchain(line: str, names: Names, synchronous: bool) -> Any:
    if "Anthropic" in line:
        from langchain_anthropic import ChatAnthropic

        line = line.replace("(", f"(model={ANTHROPIC_MODEL!r}, ", 1)
        model = eval(line, {"ChatAnthropic": ChatAnthropic})
    else:
        from langchain_openai import ChatOpenAI

        model = eval(line, names | {"ChatOpenAI": ChatOpenAI})
    return (model.invoke(QUESTION) if synchronous else await model.ainvoke(QUESTION)).content


async def _litellm(line: str, names: Names, synchronous: bool) -> Any:
    import litellm

    names["litellm"] = litellm
    if " = " not in line:
        return (await eval(line.replace("...", "**by_name"), names)).choices[0].message.content
    exec(line, names)
    asked = names["by_name"]
    answer = litellm.completion(**asked) if synchronous else await litellm.acompletion(**asked)
    return answer.choices[0].message.content


async def _pydantic_ai(line: str, names: Names, _: bool) -> Any:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    made = OpenAIChatModel(
        OPENAI_MODEL, provider=eval(line, names | {"OpenAIProvider": OpenAIProvider})
    )
    return (await Agent(made).run(QUESTION)).output


_CLIENT, _WAITS, _OF_AIOHTTP, _RETRIES = "connections", "pool timeout", "aiohttp", "retries"
_WAYS = (
    ("openai-agents", "agents.models", _agents, (_CLIENT, _WAITS, _RETRIES), False),
    ("langchain-anthropic", "langchain_anthropic", _langchain, (_RETRIES,), False),
    ("langchain-openai", "langchain_openai", _langchain, (_CLIENT, _WAITS, _RETRIES), False),
    ("langchain-openai", "langchain_openai", _langchain, (_CLIENT, _WAITS), True),
    ("litellm", "litellm", _litellm, (_CLIENT, _WAITS, _OF_AIOHTTP, _RETRIES), False),
    ("litellm", "litellm", _litellm, (_CLIENT,), True),
    ("pydantic-ai-slim", "pydantic_ai.models", _pydantic_ai, (_CLIENT, _WAITS, _RETRIES), False),
)
_LIMITS: dict[str, dict[str, float]] = {_CLIENT: {_CLIENT: _SIZE}, _RETRIES: {}}
CASES = tuple(
    Case(
        f"advice: {package}, {'sync' if synchronous else 'async'}, {what}",
        partial(_follow, module, use, synchronous, what),
        ANTHROPIC if "anthropic" in module else OPENAI,
        package=package,
        limits=_LIMITS.get(what, {_WAITS: _WAIT}),
        every_refused=int(what == _RETRIES),
    )
    for package, module, use, settings, synchronous in _WAYS
    for what in settings
)

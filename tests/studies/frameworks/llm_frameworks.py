"""Frameworks on top of the OpenAI and Anthropic SDKs: whole, concurrent and streamed calls."""

import asyncio
import json
from functools import partial
from typing import Any

from support.fake_llms import ANSWERS
from support.further_replies import REPLIES

from .harness import AT_ONCE, MESSAGES, QUESTION, Case, anthropic_url, at_once, begun, openai_url

OPENAI_MODEL = "gpt-4o-mini"
ANTHROPIC_MODEL = "claude-sonnet-4-5"
OPENAI = "sdk:openai"
ANTHROPIC = "sdk:anthropic"
OPENAI_2 = "frameworks-openai-2"
"""Environment of frameworks that cannot be installed beside the newest openai."""


def _openai_agents(port: int) -> Any:
    import agents
    from openai import AsyncOpenAI

    agents.set_tracing_disabled(disabled=True)

    async def ask() -> list[str]:
        texts = []
        async with AsyncOpenAI(base_url=openai_url(port), api_key="any") as client:
            for kind in (agents.OpenAIChatCompletionsModel, agents.OpenAIResponsesModel):
                model = kind(model=OPENAI_MODEL, openai_client=client)
                agent = agents.Agent(name="agent", instructions="Answer.", model=model)
                runs = (agents.Runner.run(agent, QUESTION) for _ in range(AT_ONCE))
                texts += [str(run.final_output) for run in await asyncio.gather(*runs)]
                streamed = agents.Runner.run_streamed(agent, QUESTION)
                texts.append(str([event.type async for event in streamed.stream_events()]))
        return texts

    return asyncio.run(ask())


def _pydantic_ai(port: int) -> Any:
    from pydantic_ai import Agent
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.anthropic import AnthropicProvider
    from pydantic_ai.providers.openai import OpenAIProvider

    openai = OpenAIProvider(base_url=openai_url(port), api_key="any")
    anthropic = AnthropicProvider(base_url=anthropic_url(port), api_key="any")

    async def ask() -> list[str]:
        texts = []
        for model in (
            OpenAIChatModel(OPENAI_MODEL, provider=openai),
            AnthropicModel(ANTHROPIC_MODEL, provider=anthropic),
        ):
            agent = Agent(model)
            runs = await asyncio.gather(*(agent.run(QUESTION) for _ in range(AT_ONCE)))
            texts += [run.output for run in runs]
            async with agent.run_stream(QUESTION) as streamed:
                texts += [text async for text in streamed.stream_text()]
        return texts

    return asyncio.run(ask())


def _langchain(model: Any) -> list[str]:
    return [
        str(model.invoke(QUESTION).content),
        *(str(chunk.content) for chunk in model.stream(QUESTION)),
        *(str(message.content) for message in at_once(lambda: model.ainvoke(QUESTION))),
    ]


def _chat_openai(port: int) -> Any:
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model=OPENAI_MODEL, base_url=openai_url(port), api_key="any")


def _chat_anthropic(port: int) -> Any:
    from langchain_anthropic import ChatAnthropic

    return ChatAnthropic(model=ANTHROPIC_MODEL, base_url=anthropic_url(port), api_key="any")


def _litellm(port: int) -> Any:
    import litellm

    texts = []
    for model, url in (
        (f"openai/{OPENAI_MODEL}", openai_url(port)),
        (f"anthropic/{ANTHROPIC_MODEL}", anthropic_url(port)),
    ):
        arguments = {"model": model, "api_base": url, "api_key": "any", "messages": MESSAGES}
        texts.append(litellm.completion(**arguments).choices[0].message.content)
        texts += [
            str(chunk.choices[0].delta.content)
            for chunk in litellm.completion(**arguments, stream=True)
        ]
        answers = at_once(partial(litellm.acompletion, **arguments))
        texts += [answer.choices[0].message.content for answer in answers]
    return texts


def _litellm_held(port: int) -> Any:
    import litellm

    arguments = {"model": f"openai/{OPENAI_MODEL}", "api_base": openai_url(port), "api_key": "any"}
    return begun(litellm.completion(**arguments, messages=MESSAGES, stream=True))


def _llama_index_llm(port: int) -> Any:
    from llama_index.llms.openai import OpenAI

    return OpenAI(model=OPENAI_MODEL, api_base=openai_url(port), api_key="any")


def _llama_index(port: int) -> Any:
    llm = _llama_index_llm(port)
    return [
        llm.complete(QUESTION).text,
        *(str(part.delta) for part in llm.stream_complete(QUESTION)),
        *(answer.text for answer in at_once(lambda: llm.acomplete(QUESTION))),
    ]


def _instructor(port: int) -> Any:
    import instructor
    from openai import AsyncOpenAI, OpenAI
    from pydantic import BaseModel

    class Greeting(BaseModel):
        text: str

    def client(sdk: Any) -> Any:
        under = sdk(base_url=openai_url(port), api_key="any")
        return instructor.from_openai(under, mode=instructor.Mode.JSON)

    request: dict[str, Any] = {"model": OPENAI_MODEL, "messages": MESSAGES}
    request["response_model"] = Greeting

    first = client(OpenAI).chat.completions.create(**request)
    create = client(AsyncOpenAI).chat.completions.create
    return [greeting.text for greeting in (first, *at_once(partial(create, **request)))]


def _greeting() -> dict[str, Any]:
    answer = json.loads(json.dumps(ANSWERS["/chat/completions"]))
    answer["choices"][0]["message"]["content"] = json.dumps({"text": "hi"})
    return dict(answer)


_STRUCTURED = {("POST", "/v1/chat/completions"): _greeting()}
CASES = (
    Case("openai-agents", _openai_agents, OPENAI, REPLIES),
    Case("pydantic-ai", _pydantic_ai, f"{OPENAI} {ANTHROPIC}", package="pydantic-ai-slim"),
    *(
        Case(
            framework,
            lambda port, model=model: _langchain(model(port)),  # type: ignore[misc]
            calls,
            held=lambda port, model=model: begun(model(port).stream(QUESTION)),  # type: ignore[misc]
        )
        for framework, model, calls in (
            ("langchain-openai", _chat_openai, OPENAI),
            ("langchain-anthropic", _chat_anthropic, ANTHROPIC),
        )
    ),
    Case("litellm", _litellm, f"{OPENAI} http:anthropic", held=_litellm_held),
    Case(
        "llama-index",
        _llama_index,
        OPENAI,
        environment=OPENAI_2,
        package="llama-index-llms-openai",
        held=lambda port: begun(_llama_index_llm(port).stream_complete(QUESTION)),
    ),
    Case("instructor", _instructor, OPENAI, _STRUCTURED, OPENAI_2),
)

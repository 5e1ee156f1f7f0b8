"""Agent frameworks on top of the OpenAI SDK."""

import asyncio
from typing import Any

from .harness import QUESTION, Case, at_once, openai_url
from .llm_frameworks import OPENAI_2, OPENAI_MODEL


def _haystack(port: int) -> Any:
    from haystack.components.generators.chat import OpenAIChatGenerator
    from haystack.dataclasses import ChatMessage
    from haystack.utils import Secret

    generator = OpenAIChatGenerator(
        Secret.from_token("any"), model=OPENAI_MODEL, api_base_url=openai_url(port)
    )
    asked = [ChatMessage.from_user(QUESTION)]
    answers = [generator.run(asked), *at_once(lambda: generator.run_async(asked))]
    return [answer["replies"][0].text for answer in answers]


def _strands(port: int) -> Any:
    from strands import Agent
    from strands.models.openai import OpenAIModel

    client = {"base_url": openai_url(port), "api_key": "any"}

    def agent() -> Any:
        model = OpenAIModel(client_args=client, model_id=OPENAI_MODEL)
        return Agent(model=model, callback_handler=None)

    answers = [agent()(QUESTION), *at_once(lambda: agent().invoke_async(QUESTION))]
    return [str(answer) for answer in answers]


def _smolagents(port: int) -> Any:
    from smolagents import OpenAIModel

    model = OpenAIModel(OPENAI_MODEL, api_base=openai_url(port), api_key="any")
    asked = [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}]
    streamed = model.generate_stream(asked)
    return [model.generate(asked).content, *(str(delta.content) for delta in streamed)]


def _agno(port: int) -> Any:
    from agno.agent import Agent
    from agno.models.openai import OpenAIChat

    model = OpenAIChat(id=OPENAI_MODEL, base_url=openai_url(port), api_key="any")
    agent = Agent(model=model, telemetry=False)
    answers = [agent.run(QUESTION), *at_once(lambda: agent.arun(QUESTION))]
    return [answer.content for answer in answers]


def _autogen(port: int) -> Any:
    from autogen_agentchat.agents import AssistantAgent
    from autogen_ext.models.openai import OpenAIChatCompletionClient

    client = OpenAIChatCompletionClient(
        model=OPENAI_MODEL, base_url=openai_url(port), api_key="any"
    )

    def agent() -> Any:
        return AssistantAgent("agent", model_client=client)

    results = at_once(lambda: agent().run(task=QUESTION), client.close)
    return [result.messages[-1].content for result in results]


def _semantic_kernel(port: int) -> Any:
    from openai import AsyncOpenAI
    from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
    from semantic_kernel.connectors.ai.open_ai import OpenAIChatPromptExecutionSettings as Settings
    from semantic_kernel.contents import ChatHistory

    client = AsyncOpenAI(base_url=openai_url(port), api_key="any")
    service = OpenAIChatCompletion(OPENAI_MODEL, async_client=client)
    history = ChatHistory()
    history.add_user_message(QUESTION)

    def ask() -> Any:
        return service.get_chat_message_content(history, Settings())

    return [answer.content for answer in at_once(ask, client.close)]


def _crewai(port: int) -> Any:
    from crewai import LLM, Agent

    llm = LLM(model=f"openai/{OPENAI_MODEL}", base_url=openai_url(port), api_key="any")
    agent = Agent(role="agent", goal="answer", backstory="none", llm=llm)
    return [llm.call(QUESTION), asyncio.run(agent.kickoff_async(QUESTION)).raw]


CASES = (
    Case("haystack", _haystack, "sdk:openai", {}, OPENAI_2, "haystack-ai"),
    Case("strands", _strands, "sdk:openai", {}, OPENAI_2, "strands-agents"),
    Case("smolagents", _smolagents, "sdk:openai", {}, OPENAI_2),
    Case("agno", _agno, "sdk:openai", {}, OPENAI_2),
    Case("autogen", _autogen, "sdk:openai", {}, OPENAI_2, "autogen-ext"),
    Case("semantic-kernel", _semantic_kernel, "sdk:openai", {}, OPENAI_2),
    Case("crewai", _crewai, "sdk:openai", {}, "frameworks-crewai", others=1),
)

"""Advice in a framework's words. The study of frameworks executes each line."""

import sys
from types import ModuleType

import pytest

from gluellm_diagnosis.advice.advisor import advisor_for, without_retries
from gluellm_diagnosis.advice.frameworks import FRAMEWORKS
from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.snapshots import collect
from support.installation import instrumented

LINES = {
    "agents.models": "agents.set_default_openai_client(",
    "langchain_openai": "ChatOpenAI(http_async_client=",
    "litellm": "litellm.aclient_session = ",
    "pydantic_ai.models": "OpenAIProvider(openai_client=openai.AsyncOpenAI(http_client=",
}


def allow(*imported, provider="openai", library="httpx2", **more):
    known = {"gluellm": False, "any_llm": False, **more}
    return advisor_for(provider, library, imported=imported, **known).allow(7)


@pytest.mark.parametrize(("module", "line"), LINES.items())
def test_advice_is_the_line_of_the_only_framework_in_the_process(module, line):
    client = "openai.DefaultAsyncHttpxClient(limits=httpx2.Limits(max_connections=7))"
    assert allow(module).startswith(f"Allow 7 connections: {line}")
    assert client in allow(module)
    for general in (
        allow(module, next(other for other in LINES if other != module)),
        allow(module, provider="anthropic"),
        allow(module, any_llm=True),
    ):
        assert line not in general


def test_advice_on_a_synchronous_pool_is_a_line_of_frameworks_that_have_one():
    assert "ChatOpenAI(http_client=openai.DefaultHttpx" in allow(
        "langchain_openai", synchronous=True
    )
    assert "agents" not in allow("agents.models", synchronous=True)


def test_advice_on_an_sdk_is_the_line_of_the_framework_on_it():
    """ChatAnthropic takes a number of seconds for all waits, and no client."""
    both = ("langchain_anthropic", "langchain_openai")
    of = {"gluellm": False, "any_llm": False, "imported": both}
    for synchronous in (False, True):
        advisor = advisor_for("anthropic", "httpx", synchronous=synchronous, **of)
        assert "ChatAnthropic(timeout=90)" in advisor.read_at_most(90, 7)
        assert "Chat" not in advisor.allow(7) + advisor.wait_at_most(10, 7)
        advisor = advisor_for("openai", "httpx", synchronous=synchronous, **of)
        assert "ChatOpenAI(timeout=httpx.Timeout(90" in advisor.read_at_most(90, 7)
    for provider, line in (("openai", "ChatOpenAI"), ("anthropic", "ChatAnthropic")):
        assert without_retries(provider, both) == f"{line}(max_retries=0)"


def test_litellms_pools_of_aiohttp_are_limited_by_its_variable():
    assert "AIOHTTP_CONNECTOR_LIMIT=7" in allow("litellm", library="aiohttp")
    assert "AIOHTTP_CONNECTOR_LIMIT" not in allow("langchain_openai", library="aiohttp")


def test_a_snapshot_names_the_frameworks_that_are_imported(monkeypatch):
    assert collect._FRAMEWORKS == FRAMEWORKS.keys() == {*LINES, "langchain_anthropic"}
    for module in LINES:
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "langchain_openai", ModuleType("langchain_openai"))
    with instrumented():
        assert snapshot().process.frameworks == ("langchain_openai",)


def test_streams_of_langchain_are_closed_as_generators():
    """They are no context managers: ``async with stream`` raises TypeError."""
    of = {"gluellm": False, "any_llm": False, "imported": ("langchain_openai",)}
    ends = [
        advisor_for("openai", "httpx2", synchronous=synchronous, **of).end_answers()
        for synchronous in (False, True)
    ]
    assert ends[0].startswith("Write `async with contextlib.aclosing(stream):`")
    assert ends[1].startswith("Write `with contextlib.closing(stream):`")

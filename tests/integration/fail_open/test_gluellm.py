"""GlueLLM and SDKs of Stainless with missing or changed functions that attribution wraps.

The modules are fakes: GlueLLM changes any-llm for good.
"""

import asyncio
import inspect
import logging
import re
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, failures, snapshot
from opentelemetry.instrumentation.gluellm.attribution.gluellm import LOST
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from studies.fail_open import runtime
from support.installation import instrument
from support.telemetry import Telemetry

_LIMITER = """
async def acquire_rate_limit(key):
    return key
"""
_CALL = """
async def _safe_{0}_call(model):
    return [model, await acquire_rate_limit("global:openai")]

async def _{0}_call_with_retry(model):
    return ["{0}", await _safe_{0}_call(model)]
"""
SOURCES = {
    "gluellm.api": f"""
{_LIMITER}{_CALL.format("llm")}{_CALL.format("responses")}
class GlueLLM:
    model = "openai:m"

    async def _llm_call(self):
        return await _llm_call_with_retry(self.model)

    async def _llm_responses_call(self):
        return await _responses_call_with_retry(self.model)

    async def ask(self):
        return [await self._llm_call(), await self._llm_responses_call()]

ask = GlueLLM().ask
""",
    "gluellm.embeddings": f"""
{_LIMITER}{_CALL.format("embedding")}
async def ask():
    return await _embedding_call_with_retry("openai:m")
""",
    "anthropic._base_client": """
class SyncAPIClient:
    def _sleep_for_retry(self):
        return "slept"

class AsyncAPIClient:
    async def _sleep_for_retry(self):
        return "slept"

async def ask():
    return [SyncAPIClient()._sleep_for_retry(), await AsyncAPIClient()._sleep_for_retry()]
""",
    "openai._streaming": """
async def drain_response_async(response):
    return response

async def ask():
    return await drain_response_async("drained")
""",
}
NAMES = {
    "gluellm.api:acquire_rate_limit": "rate_limiter",
    "gluellm.api:_safe_llm_call": "attempts",
    "gluellm.api:_llm_call_with_retry": "calls",
    "gluellm.embeddings:acquire_rate_limit": "rate_limiter",
    "gluellm.embeddings:_safe_embedding_call": "attempts",
    "gluellm.embeddings:_embedding_call_with_retry": "calls",
    # Missing in some known versions, so no warning is due.
    "gluellm.api:_safe_responses_call": "",
    "gluellm.api:_responses_call_with_retry": "",
    "gluellm.api:GlueLLM._llm_call": "",
    "gluellm.api:GlueLLM._llm_responses_call": "",
    "anthropic._base_client:SyncAPIClient._sleep_for_retry": "",
    "anthropic._base_client:AsyncAPIClient._sleep_for_retry": "",
    "openai._streaming:drain_response_async": "",
}
"""Each wrapped function, with the hook that is off where it is missing."""
FUNCTIONS = {re.split("[:.]", name)[-1] for name in NAMES}


class _Anew:
    """A class that takes any arguments, and whose objects can be awaited."""

    def __init__(self, *args: Any, **_: Any) -> None:
        self._arguments = len(args)

    def __await__(self) -> Iterator[Any]:
        yield from ()
        return self._arguments

    def __repr__(self) -> str:
        return f"{self._arguments} arguments"


def _static(original: Any) -> Any:
    async def changed_async(*args: Any, **_: Any) -> int:
        return len(args)

    def changed(*args: Any, **_: Any) -> int:
        return len(args)

    return staticmethod(changed_async if inspect.iscoroutinefunction(original) else changed)


RAISES = "raises each time"
KINDS: dict[str, Callable[[Any], Any]] = {
    **{kind: make for kind, make in runtime.METHODS.items() if "awaitable" not in kind},
    "is a class": lambda _: _Anew,
    "is a static method": _static,
    "is None": lambda _: None,
}


@pytest.fixture(autouse=True)
def _off(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(failures, "_warned", set())
    yield
    GlueLLMInstrumentor().uninstrument()


def release(monkeypatch: pytest.MonkeyPatch, without: str) -> list[ModuleType]:
    """Put the modules in place of the real ones, with one name renamed."""
    modules = []
    for name, source in SOURCES.items():
        module = ModuleType(name)
        exec(re.sub(rf"\b{without}\b", "_renamed", source), module.__dict__)
        monkeypatch.setitem(sys.modules, name, module)
        modules.append(module)
    return modules


def results(modules: list[Any]) -> list[str]:
    """What comes of one call of each module."""
    found = []
    for module in modules:
        try:
            found.append(repr(asyncio.run(module.ask())))
        except Exception as error:
            found.append(repr(error))
    return found


def check(modules: list[ModuleType], off: set[str], caplog: pytest.LogCaptureFixture) -> None:
    """Calls end as without the instrumentation, and one warning names each hook that is off."""
    expected = results(modules)
    telemetry = Telemetry()
    with caplog.at_level(logging.WARNING):
        instrument(telemetry)
        assert results(modules) == expected
        missing = [hook.partition(": ") for hook in snapshot().process.missing_hooks]
        assert telemetry.points(semconv.INSTRUMENTATION_ERRORS) == []
        GlueLLMInstrumentor().uninstrument()
    assert results(modules) == expected
    assert {hook for library, _, hook in missing if library == "gluellm"} == off
    texts = [r.getMessage() for r in caplog.records if "gluellm" in r.name]
    assert len(texts) == len(off)
    for hook in off:
        (text,) = [text for text in texts if f"lacks the hook {hook!r}" in text]
        assert LOST[hook] in text


@pytest.mark.parametrize("name", sorted({*FUNCTIONS, "SyncAPIClient", "AsyncAPIClient"}))
def test_calls_succeed_without_a_name(name, monkeypatch, caplog):
    off = {hook for function, hook in NAMES.items() if hook and function.endswith(f":{name}")}
    check(release(monkeypatch, name), off, caplog)


def test_unchanged_functions_have_every_hook(monkeypatch, caplog):
    modules = release(monkeypatch, "nothing")
    original = [dict(vars(module)) for module in modules]
    check(modules, set(), caplog)
    assert [vars(module) for module in modules] == original


@pytest.mark.parametrize("how", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_calls_succeed_with_a_changed_function(name, how, monkeypatch, caplog):
    modules = release(monkeypatch, "nothing")
    module, _, path = name.partition(":")
    *owners, last = path.split(".")
    owner: Any = sys.modules[module]
    for inside in owners:
        owner = getattr(owner, inside)
    setattr(owner, last, KINDS[how](vars(owner)[last]))
    check(modules, set() if how == RAISES else {NAMES[name]} - {""}, caplog)

"""Wrapping the functions of a fake any-llm, and restoring them."""

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.attribution import any_llm as attribution_module
from opentelemetry.instrumentation.gluellm.attribution import calls
from opentelemetry.instrumentation.gluellm.attribution.any_llm import LOST, AnyLLMAttribution
from opentelemetry.instrumentation.gluellm.attribution.calls import provider_key
from opentelemetry.instrumentation.gluellm.attribution.context import current_call

from . import fake_any_llm

pytestmark = pytest.mark.anyio


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The fake, installed as any-llm."""
    module = fake_any_llm.make()
    monkeypatch.setitem(sys.modules, "any_llm", module)
    return module


@pytest.fixture
def errors() -> list[str]:
    return []


@pytest.fixture
def attribution(fake: Any, errors: list[str]) -> Iterator[AnyLLMAttribution]:
    attribution = AnyLLMAttribution(lambda kind, _: errors.append(kind))
    yield attribution
    attribution.uninstall()


def test_constructor_of_a_subclass_is_attributed_and_may_raise(fake, attribution, errors):
    """The call begins before AnyLLM's constructor, and ends even if the subclass raises."""

    class Own(fake.AnyLLM):
        PROVIDER_NAME = "own"

        def __init__(self, key=""):
            self.before = current_call.get()
            super().__init__()
            if not key:
                raise KeyError(key)

    attribution.install()
    llm = Own("any")
    assert (llm.before.provider, llm.built_by.provider) == ("own", "own")
    with pytest.raises(KeyError):
        Own()
    assert current_call.get() is None
    assert errors == []


async def seeing(self: Any, model: str) -> Any:
    """Return the current call, as a method of a provider."""
    return current_call.get()


def test_base_that_is_patched_later_is_still_attributed(fake, attribution):
    """For example, GlueLLM replaces a function of the base class. Subclasses use the new one."""

    class Leaf(fake.Provider):
        PROVIDER_NAME = "leaf"

    attribution.install()

    async def replaced(self, model, inputs):
        return "replaced", current_call.get()

    fake.Provider._aembedding = replaced
    name, call = asyncio.run(Leaf()._aembedding("m", "text"))
    assert name == "replaced"
    assert call.provider == "leaf"


def test_subclass_made_later_is_covered(fake, attribution):
    """``__init_subclass__`` wraps it, also below classes that define their own."""
    attribution.install()
    made = []

    class Middle(fake.AnyLLM):
        def __init_subclass__(cls, **kwargs):
            super().__init_subclass__()
            made.append(kwargs)

    class Later(Middle, option=1):
        PROVIDER_NAME = "later"

        async def acompletion(self, model, **kwargs):
            return current_call.get(), await super().acompletion(f"{model}-inner")

        async def _amoderation(self, model, text):
            return current_call.get()

    assert made == [{"option": 1}]
    outer, inner = asyncio.run(Later().acompletion("m"))
    assert outer is inner
    assert outer.model == "m"
    assert asyncio.run(Later()._amoderation("m", "x")).operation == "moderation"


def test_init_subclass_of_any_llm_still_runs(fake, attribution):
    """It is restored at uninstall."""
    seen = []

    def __init_subclass__(cls, /, **kwargs):
        seen.append(cls)

    own = classmethod(__init_subclass__)
    fake.AnyLLM.__init_subclass__ = own
    attribution.install()

    class Later(fake.AnyLLM):
        PROVIDER_NAME = "later"
        acompletion = seeing

    assert seen == [Later]
    assert asyncio.run(Later().acompletion("m")).provider == "later"
    attribution.uninstall()
    assert fake.AnyLLM.__dict__["__init_subclass__"] is own


async def test_override_that_is_no_coroutine_function_is_a_call(fake, attribution):
    """For example a plain function that returns an awaitable or a stream."""

    class Own(fake.AnyLLM):
        PROVIDER_NAME = "own"

        def acompletion(self, model):
            async def answer():
                return current_call.get()

            return answer()

        async def alist_files(self):
            yield current_call.get()

    attribution.install()
    answer = await Own().acompletion("m")
    assert (answer.provider, answer.ended) == ("own", True)
    async for call in Own().alist_files():
        assert (call.provider, call.operation, call.ended) == ("own", "list_files", False)
        assert current_call.get() is None
    assert call.ended


async def test_ended_call_in_the_context_is_ignored(fake, attribution):
    """A task that outlived its call starts a new one."""
    attribution.install()

    over = await fake.Provider().acompletion("old")
    current_call.set(over)
    assert (await fake.Provider().acompletion("new")).model == "new"
    assert current_call.get() is over


def test_methods_are_wrapped_once(fake, attribution):
    """A second installation wraps nothing. Coroutines keep the original's name."""
    before = fake.AnyLLM.acompletion
    attribution.install()
    once = fake.Provider._aembedding
    assert fake.AnyLLM.acompletion is not before
    coroutine = fake.Provider().acompletion("m")
    assert coroutine.__qualname__ == before.__qualname__
    coroutine.close()
    attribution.install()
    other = AnyLLMAttribution(lambda *_: None)
    other.install()
    assert fake.Provider._aembedding is once
    other.uninstall()
    assert fake.Provider._aembedding is once


def test_uninstall_restores_the_identical_objects_of_any_llm(fake, attribution):
    """No attribute is added, and the attribution can be installed again."""
    classes = (fake.FilesMixin, fake.AnyLLM, fake.Provider)
    before = [dict(cls.__dict__) for cls in classes]
    for _ in range(2):
        attribution.install()
        assert asyncio.run(fake.Provider().acompletion("m")) is not None
        attribution.uninstall()
        attribution.uninstall()
        for cls, attributes in zip(classes, before, strict=True):
            assert {n: v for n, v in cls.__dict__.items() if n[:5] != "_abc_"} == {
                n: v for n, v in attributes.items() if n[:5] != "_abc_"
            }
        assert asyncio.run(fake.Provider().acompletion("m")) is None


def test_subclass_hook_that_stays_after_uninstall_does_nothing(fake, attribution):
    """A class that is created under a dead hook is not changed."""
    attribution.install()
    hook = fake.AnyLLM.__dict__["__init_subclass__"]
    attribution.uninstall()
    fake.AnyLLM.__init_subclass__ = hook

    later = type("Later", (fake.AnyLLM,), {"PROVIDER_NAME": "later", "acompletion": seeing})
    assert later.__dict__["acompletion"] is seeing
    assert "_aembedding" not in later.__dict__
    assert asyncio.run(later().acompletion("m")) is None


@pytest.mark.parametrize(
    ("attribute", "hook"),
    [
        ("__init__", "any_llm.init"),
        ("create", "any_llm.create"),
        ("completion", "any_llm.sync"),
        ("acompletion", "any_llm.calls"),
        ("_aembedding", "any_llm.embedding"),
        ("_amoderation", "any_llm.moderation"),
        (None, None),
    ],
)
def test_missing_hook_disables_only_itself(attribute, hook, fake, attribution):
    """The missing hook is reported. Without the class, every hook is missing."""
    if attribute is None:
        del fake.AnyLLM
    else:
        delattr(fake.AnyLLM, attribute)
    attribution.install()
    missing = set(LOST) if hook is None else {hook}
    if attribute == "acompletion":
        missing.add("any_llm.sync")  # its name is derived from that of the coroutine
    assert attribution.hooks.found == {name: name not in missing for name in LOST}
    if hook is not None:
        llm = object.__new__(fake.Provider)
        assert asyncio.run(llm.alist_files()).provider == "fake"
    attribution.uninstall()
    assert attribution.hooks.found == {}


def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError("ours")


def test_own_failure_does_not_affect_the_call(fake, attribution, errors, monkeypatch):
    """The call is not attributed, and the failure is counted."""
    attribution.install()
    llm = fake.Provider()
    monkeypatch.setattr(calls, "provider_key", broken)
    assert asyncio.run(llm.acompletion("m")) is None
    assert fake.Provider().built_by is None
    assert errors == ["attribution.call", "attribution.call"]
    monkeypatch.undo()
    monkeypatch.setattr(calls, "wrapper_of", broken)
    assert asyncio.run(llm.acompletion("m")).ended
    assert errors[2:] == ["attribution.stream"]


def test_failure_while_patching_is_no_failure_of_the_import(fake, attribution, errors, monkeypatch):
    """install() returns, and the hooks are reported as missing."""
    monkeypatch.setattr(attribution_module, "_public_coroutines", broken)
    attribution.install()
    assert attribution.hooks.found == dict.fromkeys(LOST, False)
    assert errors == ["attribution.install"]


def test_provider_key_is_a_plain_name():
    """create_openai_compatible() takes any text."""
    plain = ("openai", "my gateway", "sk.proj-1")
    for name in (*plain, "https://host/v1", "a" * 65, "", "Passwort: geheim"):
        key = provider_key(type("Own", (), {"PROVIDER_NAME": name}))
        assert key == (name if name in plain else "_OTHER")

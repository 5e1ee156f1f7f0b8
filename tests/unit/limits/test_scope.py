"""Limits of a call, and of its stream."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.attribution.any_llm import AnyLLMAttribution
from opentelemetry.instrumentation.gluellm.limits.scope import LimitedCall, LimitScope, limited_call
from opentelemetry.instrumentation.gluellm.limits.settings import Value, Values
from opentelemetry.instrumentation.gluellm.patching import LIMITS_MARK
from unit.attribution import fake_any_llm

pytestmark = pytest.mark.anyio

LIMITS = {"max_connections": Value(3), "pool_timeout": Value(5)}


class Stream:
    """A stream like an SDK's, whose items are the limits in effect."""

    async def __anext__(self) -> LimitedCall | None:
        return limited_call()

    def __aiter__(self) -> AsyncIterator[LimitedCall | None]:
        return self


class World:
    """A fake any-llm whose calls have limits, and are attributed or not."""

    def __init__(self, module: ModuleType) -> None:
        self.any_llm: Any = module
        self.errors: list[str] = []
        self.limits: Values = LIMITS
        self.attribution = AnyLLMAttribution(self.failed)
        self.limiting = AnyLLMAttribution(
            self.failed,
            make_scope=lambda: LimitScope(self.failed, lambda _: self.limits),
            mark=LIMITS_MARK,
        )

        class Provider(module.Provider):
            PROVIDER_NAME = "own"

            def __init__(self, **kwargs: Any) -> None:
                super().__init__(passed_on=1)
                self.limited_while_built = limited_call()

            async def _acompletion(self, model: str, **kwargs: Any) -> Any:
                if model == "stream":
                    return Stream()
                if model == "nested":
                    other = type(self)()
                    return limited_call(), await other.acompletion("m", timeout=9)
                return limited_call()

        self.provider: Any = Provider

    def failed(self, kind: str, _: Exception) -> None:
        """Record a failure by its kind."""
        self.errors.append(kind)


@pytest.fixture(params=["alone", "under attribution", "over attribution"])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Limits are on, alone or together with the attribution."""
    module = fake_any_llm.make()
    monkeypatch.setitem(sys.modules, "any_llm", module)
    world = World(module)
    if request.param == "over attribution":
        world.attribution.install()
    world.limiting.install()
    if request.param == "under attribution":
        world.attribution.install()
    yield world
    world.limiting.uninstall()
    world.attribution.uninstall()
    assert world.errors == []


def call(llm: Any, model: str = "m", **more: Any) -> Any:
    return asyncio.run(llm.acompletion(model, **more))


def test_limits_apply_in_the_constructor_and_in_calls(world):
    """The outermost call decides. Without limits no call is wrapped."""
    llm = world.provider()
    assert (llm.limited_while_built.limits, llm.limited_while_built.ended) == (LIMITS, True)
    found = call(llm)
    assert (found.provider, found.limits, found.own_timeout) == ("own", LIMITS, False)
    assert found.ended
    assert limited_call() is None
    outer, inner = call(world.provider(), "nested")
    assert outer is inner
    world.limits = {}
    llm = world.provider()
    assert llm.limited_while_built is call(llm) is None


def test_arguments_of_the_constructor_apply_to_every_call(world):
    """The outermost constructor's arguments count. The pool keeps its timeout for other calls."""
    llm = world.provider(limits=object())
    assert set(llm.limited_while_built.limits) == set(call(llm).limits) == {"pool_timeout"}
    llm = world.provider(http_client=object(), timeout=4)
    assert llm.limited_while_built.limits == {}
    assert call(llm).own_timeout
    assert set(call(world.provider(timeout=4)).limits) == {"max_connections"}
    llm = world.provider()
    assert [call(llm, timeout=t).own_timeout for t in (3, None, 0)] == [True, False, True]


async def test_limits_apply_in_the_steps_of_a_stream(world):
    """The wrapped stream is still an instance of the SDK's class."""

    stream = await world.provider().acompletion("stream")
    assert isinstance(stream, Stream)
    assert limited_call() is None
    found = await anext(stream)
    assert found.limits == LIMITS
    assert not found.ended
    assert limited_call() is None

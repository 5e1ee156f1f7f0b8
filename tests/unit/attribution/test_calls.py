"""Outermost calls count, from their actual beginning to their end."""

import asyncio
import contextlib
import contextvars
import sys
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.attribution.any_llm import AnyLLMAttribution
from opentelemetry.instrumentation.gluellm.attribution.context import current_call, current_counted
from opentelemetry.instrumentation.gluellm.attribution.gluellm import GlueLLMObserver
from opentelemetry.instrumentation.gluellm.attribution.hosts import Naming
from opentelemetry.instrumentation.gluellm.attribution.stainless import StainlessCalls
from opentelemetry.instrumentation.gluellm.vocabulary import OUTCOMES, STAGES
from unit.pool.fakes import SECOND, Scene

from . import fake_any_llm

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Counting:
    """A fake any-llm, a fake GlueLLM and a fake SDK, and the calls that are counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.scene = Scene()
        self.errors: list[str] = []
        self.missing: list[str] = []
        self.any_llm = fake_any_llm.make()
        monkeypatch.setitem(sys.modules, "any_llm", self.any_llm)
        calls = self.scene.registry.calls
        self.patches = [
            AnyLLMAttribution(lambda kind, _: self.errors.append(kind), calls=calls),
            GlueLLMObserver(
                lambda kind, _: self.errors.append(kind),
                lambda hooks: self.missing.extend(hooks.missing()),
                calls=calls,
            ),
            StainlessCalls(
                "openai",
                lambda kind, _: self.errors.append(kind),
                lambda hooks: self.missing.extend(hooks.missing()),
                lambda: None,
                calls,
                Naming(),
            ),
        ]
        for patches in self.patches:
            patches.install()

    def patch(self, number: int, module: ModuleType) -> None:
        self.patches[number]._on_import(module)

    def ended(self) -> dict[tuple[str, str | None, str, str], int]:
        """Ended calls by source, provider, operation and outcome."""
        assert not self.scene.registry.calls.live
        assert self.errors == []
        return {
            (ledger.source, ledger.provider, operation, outcome): count
            for ledger in self.scene.registry.calls.ledgers.known.values()
            for operation, counts in ledger.calls.items()
            for outcome, count in zip(OUTCOMES, counts, strict=True)
            if count
        }

    def times(self) -> dict[str, float]:
        """Seconds by stage."""
        return {
            stage: time / SECOND
            for state in self.scene.registry.calls.state()
            for stage, time in zip(STAGES, state.spent, strict=True)
            if time
        }


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counting]:
    made = Counting(monkeypatch)
    yield made
    for patches in made.patches:
        patches.uninstall()


async def test_nested_calls_are_one(counting):
    """A provider calls another one; the requests belong to the inner one."""
    seen = []

    class Inner(counting.any_llm.Provider):
        PROVIDER_NAME = "inner"

        async def _acompletion(self, model, **kwargs):
            seen.append(current_call.get())

    class Outer(counting.any_llm.Provider):
        PROVIDER_NAME = "outer"

        async def _acompletion(self, model, **kwargs):
            return await Inner().acompletion("m")

    await Outer().acompletion("m")
    assert counting.ended() == {("any_llm", "outer", "chat", "succeeded"): 1}
    (call,) = seen
    assert call.provider == "inner"
    assert call.counted.ledger.provider == "outer"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="wait_for makes a task of its own there")
async def test_call_of_a_spawned_task_counts_by_itself(counting):
    """Also for the same provider. Another loop or thread is not a spawned task."""

    class Spawning(counting.any_llm.Provider):
        async def _acompletion(self, model, **kwargs):
            if model == "inner":
                return None
            await asyncio.create_task(self.acompletion("inner"))
            context = contextvars.copy_context()
            thread = threading.Thread(
                target=context.run, args=(asyncio.run, self.acompletion("inner"))
            )
            thread.start()
            return await asyncio.to_thread(thread.join)

    await Spawning().acompletion("outer")
    assert counting.ended() == {("any_llm", "fake", "chat", "succeeded"): 2}


def api(counting: Counting, source: str) -> Callable[..., Any]:
    """A module function like those of any-llm."""
    scope: dict[str, Any] = {"__name__": "any_llm.api", "any_llm": counting.any_llm}
    exec(source, scope)
    return scope["acompletion"]


MODULE_FUNCTION = """
def create(provider):
    return any_llm.Provider.create(provider=provider)

async def acompletion(provider):
    return await create(provider).acompletion("m")
"""


async def test_module_function_begins_its_call_with_the_client(counting, monkeypatch):
    """The call includes the building of the client, and has the operation of the function."""
    clock = counting.scene.clock
    built = []

    def __init__(self, **kwargs):
        clock.advance(2)
        built.append(current_counted.get())

    monkeypatch.setattr(counting.any_llm.AnyLLM, "__init__", __init__)
    acompletion = api(counting, MODULE_FUNCTION)
    await acompletion("mistral")
    assert counting.ended() == {("any_llm", "mistral", "chat", "succeeded"): 1}
    assert counting.times() == {"preparing": 2}
    assert current_counted.get() is None
    (counted,) = built
    assert counted.ended_at
    counting.any_llm.Provider.create(provider="mistral")  # by the application: no call
    assert built[1] is None
    assert counting.times() == {"preparing": 2}


async def test_module_function_that_raises_is_a_failed_call(counting):
    """It fails while building the client. A call whose method is never called is abandoned."""

    def __init__(self, **kwargs):
        raise LookupError

    counting.any_llm.Provider.__init__ = __init__
    with pytest.raises(LookupError):
        await api(counting, MODULE_FUNCTION)("mistral")
    assert counting.ended() == {("any_llm", "mistral", "chat", "failed"): 1}
    del counting.any_llm.Provider.__init__
    forgetful = MODULE_FUNCTION.replace('await create(provider).acompletion("m")', "1")
    forgetful = forgetful.replace("return 1", "return len([create(provider)])")
    assert await api(counting, forgetful)("mistral") == 1
    assert counting.ended()["any_llm", "mistral", "chat", "abandoned"] == 1


def gluellm_api(counting: Counting, **changes: Any) -> ModuleType:
    """The functions of ``gluellm.api`` that are replaced, around an any-llm call."""
    clock = counting.scene.clock
    module = ModuleType("gluellm.api")

    async def acquire_rate_limit(key: str) -> None:
        clock.advance(5)

    async def _safe_llm_call(model: str, fails: int = 0, **kwargs: Any) -> Any:
        await module.acquire_rate_limit("global:openai")
        clock.advance(1)
        result = await counting.any_llm.Provider().acompletion("m", **kwargs)
        if module.attempts < fails:
            raise ValueError
        return result

    async def _llm_call_with_retry(model: str, **kwargs: Any) -> Any:
        for module.attempts in range(3):
            try:
                return await module._safe_llm_call(model=model, **kwargs)
            except ValueError:
                clock.advance(3)
        raise ValueError

    class GlueLLM:
        model = "openai:m"

        async def _llm_call(self, **kwargs: Any) -> Any:
            return await module._llm_call_with_retry(model=self.model, **kwargs)

    for name, function in {**locals(), **changes}.items():
        if name not in ("counting", "clock", "module", "changes") and function is not None:
            setattr(module, name, function)
    counting.patch(1, module)
    return module


async def test_attempts_and_limits_of_gluellm(counting):
    """One call, although each attempt is a call of any-llm."""
    module = gluellm_api(counting)
    await module.GlueLLM()._llm_call(fails=2)
    assert counting.ended() == {("gluellm", "openai", "chat", "succeeded"): 1}
    assert counting.times() == {"limited": 15, "preparing": 3, "backoff": 6}
    with pytest.raises(ValueError):
        await module.GlueLLM()._llm_call(fails=3)
    assert counting.ended()["gluellm", "openai", "chat", "failed"] == 1
    assert counting.missing == []


@pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError])
async def test_wait_in_the_limiter_ends_with_its_exception(counting, error):
    """Its Redis fails, or the call is cancelled there."""
    clock = counting.scene.clock

    async def acquire_rate_limit(key):
        clock.advance(5)
        raise error

    async def _safe_llm_call(model):
        with contextlib.suppress(error):
            await module.acquire_rate_limit("global:openai")
        clock.advance(1)

    functions = {"acquire_rate_limit": acquire_rate_limit, "_safe_llm_call": _safe_llm_call}
    module = gluellm_api(counting, **functions)
    await module.GlueLLM()._llm_call()
    assert counting.times() == {"limited": 5, "preparing": 1}
    counting.patches[1].uninstall()
    assert module.acquire_rate_limit is acquire_rate_limit


def _raising() -> Any:
    raise RuntimeError("anew")


@pytest.mark.parametrize(
    ("function", "fails"),
    [(None, True), (_raising, True), (lambda: None, False)],
    ids=["missing", "raises", "no loop"],
)
async def test_calls_succeed_with_another_way_to_the_running_loop(
    function, fails, counting, monkeypatch
):
    """Each failure is counted; the calls are not."""

    async def answer(*_, **__):
        return "answer"

    monkeypatch.setattr(counting.any_llm.Provider, "_acompletion", answer)
    module = gluellm_api(counting)
    if function is None:
        monkeypatch.delattr(asyncio, "_get_running_loop")
    else:
        monkeypatch.setattr(asyncio, "_get_running_loop", function)
    assert await counting.any_llm.Provider().acompletion("m") == "answer"
    assert await module.GlueLLM()._llm_call() == "answer"
    assert not counting.scene.registry.calls.live
    expected = {"attribution.call", "attribution.gluellm"} if fails else set()
    assert set(counting.errors) == expected


def sdk(clock: Any) -> ModuleType:
    """The base clients of an SDK that Stainless generated."""
    module = ModuleType("openai._base_client")

    class SyncAPIClient:
        def _sleep_for_retry(self) -> str:
            clock.advance(2)
            return "slept"

    class AsyncAPIClient:
        async def _sleep_for_retry(self, response: Any = None) -> str:
            clock.advance(3)
            return "slept"

    module.SyncAPIClient, module.AsyncAPIClient = SyncAPIClient, AsyncAPIClient
    return module


async def test_pauses_of_an_sdk_are_back_off(counting):
    """Sync and async."""
    clock = counting.scene.clock
    module = sdk(clock)
    originals = [vars(cls)["_sleep_for_retry"] for cls in _clients(module)]
    counting.patch(2, module)

    class Pausing(counting.any_llm.Provider):
        async def _acompletion(self, model, **kwargs):
            clock.advance(1)
            slept = [module.SyncAPIClient()._sleep_for_retry()]
            slept.append(await module.AsyncAPIClient()._sleep_for_retry())
            clock.advance(1)
            return slept

    assert await Pausing().acompletion("m") == ["slept", "slept"]
    assert module.SyncAPIClient()._sleep_for_retry() == "slept"  # outside a call
    counting.ended()
    assert counting.times() == {"preparing": 2, "backoff": 5}
    counting.patches[2].uninstall()
    assert [vars(cls)["_sleep_for_retry"] for cls in _clients(module)] == originals
    assert counting.missing == ["calls", "attempts", "items"]
    counting.missing.clear()
    counting.patch(2, ModuleType("openai._base_client"))  # an SDK without the method
    assert counting.missing == []


def _clients(module: Any) -> tuple[type, type]:
    return module.SyncAPIClient, module.AsyncAPIClient


def test_synchronous_call_counts_once_and_until_its_stream_is_read(counting):
    """The asynchronous call inside it is not counted."""

    class Streaming(counting.any_llm.Provider):
        def completion(self, model, **kwargs):
            return iter(range(3))

    assert counting.any_llm.Provider().completion("m").provider == "fake"
    assert counting.ended() == {("any_llm", "fake", "chat", "succeeded"): 1}
    stream = Streaming().completion("m", stream=True)
    assert next(stream) == 0
    (counted,) = counting.scene.registry.calls.live
    assert counted.streamed
    assert list(stream) == [1, 2]
    assert counting.ended() == {("any_llm", "fake", "chat", "succeeded"): 2}
    next(Streaming().completion("m", stream=True))
    assert counting.ended()["any_llm", "fake", "chat", "abandoned"] == 1

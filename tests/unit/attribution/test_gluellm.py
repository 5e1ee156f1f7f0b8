"""Waits in GlueLLM's rate limiter, on a fake of it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.attribution.gluellm import GlueLLMObserver
from opentelemetry.instrumentation.gluellm.pool.phases import LIMITED, PREPARING, STAGES
from support.waiting import until
from unit.pool.fakes import SECOND, Scene

pytestmark = pytest.mark.anyio
Way = Callable[["asyncio.Task[None]", "asyncio.Future[None]"], object]


@pytest.mark.parametrize(
    "way",
    [
        lambda call, gate: gate.set_result(None),
        lambda call, gate: gate.set_exception(RuntimeError("no Redis")),
        lambda call, gate: call.cancel(),
    ],
    ids=["admitted", "failed", "cancelled"],
)
async def test_wait_ends_with_the_call_to_the_limiter(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.get_running_loop().create_future()
    going_on = asyncio.Event()

    async def acquire_rate_limit(key: str) -> None:
        await gate

    async def call_with_retry(model: str) -> None:
        with contextlib.suppress(RuntimeError, asyncio.CancelledError):
            await api.acquire_rate_limit("global:openai")
        await going_on.wait()

    api: Any = ModuleType("gluellm.api")
    api.acquire_rate_limit = acquire_rate_limit
    api._llm_call_with_retry = call_with_retry
    monkeypatch.setitem(sys.modules, "gluellm.api", api)
    errors: list[str] = []
    scene = Scene()
    calls = scene.registry.calls
    observer = GlueLLMObserver(lambda kind, _: errors.append(kind), lambda _: None, calls)
    observer.install()

    def assert_in(stage: int, limited: int) -> None:
        (state,) = calls.state()
        assert state.count == [int(each == stage) for each in range(len(STAGES))]
        assert state.spent[LIMITED] == limited

    call = asyncio.create_task(api._llm_call_with_retry(model="openai:m"))
    await asyncio.sleep(0)
    scene.clock.advance(2)
    assert_in(LIMITED, 2 * SECOND)
    way(call, gate)
    await until(lambda: calls.state()[0].count[PREPARING] == 1)
    scene.clock.advance(5)
    assert_in(PREPARING, 2 * SECOND)
    going_on.set()
    await call
    observer.uninstall()
    assert api.acquire_rate_limit is acquire_rate_limit
    assert errors == []

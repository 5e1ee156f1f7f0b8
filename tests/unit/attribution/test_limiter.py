"""Waits in GlueLLM's rate limiter, on a fake of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.attribution.limiter import RateLimiterObserver
from unit.pool.fakes import Clock

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

    async def acquire_rate_limit(key: str) -> None:
        await gate

    api: Any = ModuleType("gluellm.api")
    api.acquire_rate_limit = acquire_rate_limit
    monkeypatch.setitem(sys.modules, "gluellm.api", api)
    errors: list[str] = []
    clock = Clock()
    observer = RateLimiterObserver(lambda kind, _: errors.append(kind), lambda _: None, clock)
    observer.install()
    call = asyncio.create_task(api.acquire_rate_limit("global:openai"))
    await asyncio.sleep(0)
    clock.advance(2)
    (waiting,) = observer.limited()
    assert (waiting.provider, waiting.waiting, waiting.longest) == ("openai", 1, 2.0)
    way(call, gate)
    await asyncio.wait([call])
    clock.advance(5)
    (over,) = observer.limited()
    assert (over.waiting, over.longest, over.waited, over.seconds) == (0, 0.0, 1, 2.0)
    observer.uninstall()
    assert api.acquire_rate_limit is acquire_rate_limit
    assert errors == []
    call.cancelled() or call.exception()  # retrieved, or asyncio warns

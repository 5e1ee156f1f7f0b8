"""Findings about load, with real clients under known load."""

import asyncio
import contextlib
import re
from typing import Any

import pytest

from gluellm_pools.fake_provider import Behaviour, FakeProvider, FakeProviderThread, ReceivedRequest
from opentelemetry.instrumentation.gluellm import Finding, Snapshot, diagnose, snapshot
from support.waiting import until

httpx2: Any = pytest.importorskip("httpx2")
HEADERS = {"authorization": "Bearer any"}


def client(connections: int, **limits: Any) -> Any:
    """A client of the application's own, with so many connections."""
    limits = {"max_connections": connections, **limits}
    return httpx2.AsyncClient(limits=httpx2.Limits(**limits), timeout=60, trust_env=False)


async def ask(http: Any, provider: FakeProvider, model: str = "m") -> int:
    """One call; the status."""
    messages = [{"role": "user", "content": "hi"}]
    answer = await http.post(
        f"{provider.openai_url}/chat/completions",
        json={"model": model, "messages": messages},
        headers=HEADERS,
    )
    status: int = answer.status_code
    return status


def of_kind(kind: str, now: Snapshot, before: Snapshot | None = None) -> list[Finding]:
    """The findings of one kind."""
    return [finding for finding in diagnose(now, before) if finding.kind == kind]


def test_failures_do_not_shorten_the_time_of_the_provider(provider):
    """It became nine times as slow, and beside that it refuses, and callers give up at once."""

    def behave(request: ReceivedRequest) -> Behaviour:
        if request.model == "refused":
            return Behaviour(status=429)
        return Behaviour(head_delay={"slow": 0.9, "hangs": 30.0}.get(request.model or "", 0.1))

    async def give_up(http: Any) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await ask(http, provider, "hangs")

    async def run() -> tuple[Snapshot, Snapshot]:
        provider.behaviour = behave
        async with client(200) as http:
            await asyncio.gather(*(ask(http, provider) for _ in range(20)))
            before = snapshot()
            await asyncio.gather(
                *(ask(http, provider, "slow") for _ in range(10)),
                *(ask(http, provider, "refused") for _ in range(60)),
                *(give_up(http) for _ in range(20)),
            )
            return before, snapshot()

    before, now = asyncio.run(run())
    (finding,) = of_kind("slow_provider", now, before)
    taken = re.match(r"Mean wait for the provider: ([\d.]+) s", finding.observed)
    assert taken is not None, finding.observed
    assert float(taken[1]) >= 0.85


def test_callers_that_give_up_are_not_counted_as_demand(provider):
    """The size that is advised ends the queue, and less than half of it does not.

    20 calls a second that hold a connection for 0.3 s need 6, and some more if they bunch. The pool
    has 3, and callers lose patience after 1.5 s: up to 30 of them are in it.
    """
    provider.behaviour = Behaviour(head_delay=0.3)

    async def call(http: Any) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.5):
                await ask(http, provider)

    async def load(connections: int, calls: int) -> tuple[Snapshot, Snapshot]:
        async with client(connections) as http:
            before = snapshot()
            async with asyncio.TaskGroup() as group:
                for _ in range(calls):
                    group.create_task(call(http))
                    await asyncio.sleep(0.05)
                now = snapshot()
            return before, now

    before, now = asyncio.run(load(3, 70))
    (finding,) = of_kind("pool_too_small", now, before)
    size = re.search(r"Allow (\d+) connections", finding.advice)
    assert size is not None, finding.advice
    advised = int(size[1])
    assert 7 <= advised <= 14, finding.observed
    assert queued(*asyncio.run(load(advised, 30))) < 0.02
    assert queued(*asyncio.run(load(advised // 2 - 1, 30))) > 0.02


def queued(before: Snapshot, now: Snapshot) -> float:
    """Share of the time that requests were queued."""

    def spent(taken: Snapshot) -> tuple[float, float]:
        phases = [o.phase_seconds for totals in taken.totals for o in totals.origins]
        return sum(p["queued"] for p in phases), sum(sum(p.values()) for p in phases)

    (waited, whole), (waited_before, whole_before) = spent(now), spent(before)
    return (waited - waited_before) / (whole - whole_before)


def test_expired_connections_of_a_healthy_client_are_no_finding(provider):
    """Every tenth request waits for a new connection, for a hundredth of the time."""
    provider.behaviour = Behaviour(head_delay=0.05)

    async def run() -> Snapshot:
        async with client(10, keepalive_expiry=0.3) as http:
            for _ in range(4):
                for _ in range(10):
                    await ask(http, provider)
                await asyncio.sleep(0.35)
            await ask(http, provider)
            return snapshot()

    now = asyncio.run(run())
    assert of_kind("connections_not_reused", now) == []
    (totals,) = now.totals
    assert totals.connections_closed["keepalive_expired"] == 4
    assert [o.requests_on_new_connection for o in totals.origins] == [5]


def test_no_finding_blames_connections_for_a_wait_for_a_stream():
    """One connection of a hundred is open: the provider allows two streams on it."""

    async def run(provider: FakeProvider) -> Snapshot:
        limits = httpx2.Limits(max_connections=100)
        async with httpx2.AsyncClient(
            http1=False, http2=True, limits=limits, timeout=60, trust_env=False
        ) as http:
            calls = [asyncio.create_task(ask(http, provider)) for _ in range(6)]
            await until(lambda: of_kind("http2_stuck", snapshot()), "the finding")
            now = snapshot()
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            return now

    with FakeProviderThread(
        http2=True, max_streams=2, behaviour=Behaviour(head_delay=30)
    ) as provider:
        now = asyncio.run(run(provider))
    (finding,) = of_kind("http2_stuck", now)
    assert finding.observed.startswith(
        "2 of 2 HTTP/2 streams are taken, on 1 connection of at most 100; 4 requests waiting"
    )
    assert "a larger pool does not help" in finding.explanation
    assert not {"pool_too_small", "pool_saturated"} & {f.kind for f in diagnose(now)}

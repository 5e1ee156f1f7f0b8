"""The thread that looks for leaks: there while it is needed, and nowhere else."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProvider
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.telemetry import Telemetry
from support.waiting import until, wait_until

from . import calls
from .conftest import Instrument
from .reports import Reports, place

FORK = Path(__file__).with_name("scripts") / "fork.py"
RESTS_WITHIN = 10 + 4
"""Seconds after the last request: ten looks, one more, and what a busy machine adds."""


def watches() -> list[threading.Thread]:
    """The threads that watch."""
    return [thread for thread in threading.enumerate() if thread.name == "gluellm-pool-watch"]


async def ask(llm: Any) -> None:
    """One call."""
    await llm.acompletion(model="m", **calls.CHAT)


async def left(llm: Any, number: int = 1) -> list[Any]:
    """Streams that nobody reads."""
    streams = []
    for _ in range(number):
        # A comprehension is a function of its own before Python 3.12.
        streams.append(await llm.acompletion(model="left", **calls.STREAM))  # place: left
    return streams


def test_thread_is_there_while_requests_are_under_way(
    provider_server: FakeProvider, telemetry: Telemetry
) -> None:
    """None before the first request, none some ten seconds after the last, and one again then."""

    async def run() -> None:
        llm = calls.create("openai", provider_server)
        assert not watches()
        await ask(llm)
        assert len(watches()) == 1
        ended = time.monotonic()
        while watches():
            assert time.monotonic() < ended + RESTS_WITHIN
            await asyncio.sleep(0.01)
        assert time.monotonic() > ended + 5  # it does not come and go with each call
        await ask(llm)
        assert len(watches()) == 1
        await llm.client.close()

    asyncio.run(run())


def test_no_thread_is_left_after_uninstrument(
    provider_server: FakeProvider, telemetry: Telemetry, reports: Reports
) -> None:
    """Neither with requests under way, nor by the next request."""

    async def run() -> None:
        llm = calls.create("openai", provider_server)
        held = await left(llm)
        assert len(watches()) == 1
        GlueLLMInstrumentor().uninstrument()
        assert not watches()
        await ask(llm)
        assert not watches()
        await held[0].aclose()
        await llm.client.close()

    asyncio.run(run())
    assert reports.kept == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_leak_is_found_right_after_fork(provider_server: FakeProvider) -> None:
    """The child's first request is watched by a thread of its own; the parent's goes on."""
    done = subprocess.run(
        [sys.executable, str(FORK), provider_server.openai_url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=calls.environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    child, parent = (json.loads(line) for line in done.stdout.splitlines())
    assert child == {"of": "child", "leaks": ["child"], "watches": [0, 1]}
    assert parent == {"of": "parent", "leaks": ["parent"], "watches": [1, 1]}


def test_leaks_of_one_place_are_told_once_with_their_number(
    provider_server: FakeProvider, telemetry: Telemetry, reports: Reports
) -> None:
    """Those that come later wait for the end of the ten minutes, and are counted meanwhile."""

    async def run() -> None:
        llm = calls.create("openai", provider_server)
        await left(llm, 5)
        await until(lambda: telemetry.value(semconv.LEAK_SUSPECTED) == 5, "five leaks")
        await left(llm, 2)
        await until(lambda: telemetry.value(semconv.LEAK_SUSPECTED) == 7, "seven leaks")
        await llm.client.close()

    asyncio.run(run())
    (leak,) = reports.leaks()
    # A look may have come between the first five.
    assert 1 <= leak.number <= 5
    assert leak.whose.place == place(__file__, "left", left)
    assert telemetry.value(semconv.LEAKS) == 7


def test_threshold_of_zero_looks_for_no_leaks(
    provider_server: FakeProvider, instrument: Instrument, reports: Reports
) -> None:
    """However long a stream is unread."""
    telemetry = instrument(leak_threshold=0)

    def unread() -> float:
        requests = [request for pool in snapshot().pools for request in pool.requests]
        return min(request.phase_age for request in requests if request.phase == "unread")

    async def run() -> None:
        llm = calls.create("openai", provider_server)
        await left(llm)
        await until(lambda: unread() > 5, "five seconds unread")
        assert telemetry.value(semconv.LEAK_SUSPECTED) == telemetry.value(semconv.LEAKS) == 0
        await llm.client.close()

    asyncio.run(run())
    assert reports.kept == []


def test_whole_stack_is_told_where_it_is_asked_for(
    provider_server: FakeProvider, instrument: Instrument, reports: Reports
) -> None:
    """Every frame, the innermost first; without it there is none."""
    instrument(leak_stacks=True)

    async def run() -> None:
        llm = calls.create("openai", provider_server)
        await left(llm)  # place: caller of left
        await until(reports.leaks, "the leak")
        await llm.client.close()

    asyncio.run(run())
    (leak,) = reports.leaks()
    name = test_whole_stack_is_told_where_it_is_asked_for.__name__
    expected = [
        place(__file__, "left", left),
        place(__file__, "caller of left", f"{name}.<locals>.run"),
    ]
    assert leak.whose.place == expected[0]
    assert [frame for frame in leak.stack if frame in expected] == expected
    assert any(f" in {name}" in frame for frame in leak.stack[leak.stack.index(expected[1]) + 1 :])


def test_leak_is_told_though_the_event_loop_is_blocked(
    provider_server: FakeProvider, telemetry: Telemetry, reports: Reports
) -> None:
    """The watch needs neither the loop nor anybody who collects."""

    async def run() -> None:
        llm = calls.create("openai", provider_server)
        held = await left(llm)
        wait_until(reports.leaks, "the leak")
        await held[0].aclose()
        await llm.client.close()

    asyncio.run(run())

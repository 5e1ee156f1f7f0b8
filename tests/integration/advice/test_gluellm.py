"""Findings about programs that use GlueLLM.

Each runs in its own process, because GlueLLM changes any-llm permanently.
"""

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest

from gluellm_pools.fake_provider import Behaviour, FakeProvider
from support.programs import run_with_gluellm

pytestmark = pytest.mark.all_sdks
BEGINNING = """
    import asyncio, functools, json, logging, sys
    from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, diagnose, snapshot
    instrumentor = GlueLLMInstrumentor()

    def report(**more):
        now = snapshot()
        found = {f.kind: f.to_dict() for f in diagnose(now)}
        print(json.dumps({"found": found, "text": str(now), "process": now.to_dict()["process"],
                          **more}))

    def call(prompt="hi"):
        return gluellm.complete(prompt, model="openai:m")
"""


def run(provider: FakeProvider, home: Path, program: str) -> dict[str, Any]:
    """Run a program and return its report."""
    program = textwrap.dedent(BEGINNING) + textwrap.dedent(program)
    done = run_with_gluellm(program, home=home, server=provider)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return {**json.loads(lines[-1]), "log": done.stderr}


@pytest.fixture(autouse=True)
def _gluellm() -> None:
    pytest.importorskip("gluellm")


LIMITED = """
    instrumentor.instrument(loop_lag=False)
    import gluellm

    async def main():
        calls = [asyncio.create_task(call()) for _ in range(80)]
        while sum(task.done() for task in calls) < 60:
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.5)
        report()
        for task in calls:
            task.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    asyncio.run(main())
"""


def test_calls_that_wait_in_the_limiter_are_not_blamed_on_the_pool(provider, tmp_path):
    """Of 80 calls, the limiter starts 60 at once and one more each second.

    Ten of the 60 queue for a moment. The other calls wait in the limiter while the pool is idle.
    """
    provider.behaviour = Behaviour(head_delay=0.5)
    report = run(provider, tmp_path, LIMITED)
    assert "pool_too_small" not in report["found"]
    finding = report["found"]["gluellm_limiter"]
    assert finding["severity"] == "warning"
    assert finding["pool"] == "openai/httpx"
    (calls,) = report["process"]["calls"]
    waiting = calls["now"]["limited"]
    assert finding["observed"].startswith(
        f"{waiting} calls waiting in GlueLLM's rate limiter for openai, the longest for "
    )
    assert "idle connections, and 0 requests queued" in finding["observed"]
    assert "GlueLLM starts at most 60 calls a minute" in finding["explanation"]
    assert "gluellm.configure(rate_limit_requests_per_minute=N)" in finding["advice"]
    assert calls["provider"] == "openai"
    assert 10 <= waiting <= 20
    assert f"{waiting} calls waiting in GlueLLM's rate limiter for openai (60 calls a minute)" in (
        " ".join(report["text"].split())
    )


LOOPS = """
    instrumentor.instrument(loop_lag=False)
    import gluellm
    for _ in range(12):
        asyncio.run(call())
    report()
"""


def test_advice_against_an_event_loop_for_each_call(provider, tmp_path):
    """GlueLLM keeps a client for each loop: any-llm's instances are not the cause."""
    finding = run(provider, tmp_path, LOOPS)["found"]["client_churn"]
    assert "A client is built for each event loop" in finding["explanation"]
    assert finding["advice"] == (
        "Run all calls in one event loop, asyncio.run(main()) once for the program, or await "
        "gluellm.close_providers() before a loop ends. GlueLLM keeps a client for each event loop."
    )

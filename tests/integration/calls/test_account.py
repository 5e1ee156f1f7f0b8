"""One late snapshot of a process that was healthy before: the account shows what has changed."""

import asyncio
import contextlib
import json
import time
from typing import Any

import pytest

from gluellm_pools.fake_provider import Behaviour, FakeProvider
from opentelemetry.instrumentation.gluellm import diagnose, snapshot
from opentelemetry.instrumentation.gluellm.diagnosis.findings import Kind, Severity
from opentelemetry.instrumentation.gluellm.watch import account, watch

from .ledger import CHAT, Ledger, create

pytestmark = pytest.mark.anyio
ROW = 0.3
"""Seconds of a row, a minute otherwise; all windows are rows."""
CALLERS = 6


async def call_for(rows: float, llm: Any) -> None:
    """Call again and again for so many rows."""
    until = time.monotonic() + rows * ROW

    async def caller() -> None:
        while time.monotonic() < until:
            with contextlib.suppress(Exception):
                await llm.acompletion(model="m", **CHAT)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """An account whose minutes are short. To be used before the instrumentation is on."""
    monkeypatch.setattr(account, "ROW", round(ROW * 1e9))
    monkeypatch.setattr(watch, "INTERVAL", 0.02)


@pytest.mark.usefixtures("fast")
async def test_failure_that_no_rule_knows(server: FakeProvider, ledger: Ledger) -> None:
    """A key that is refused: where, how much, and what to look at."""
    llm = create("openai", server)
    server.behaviour = Behaviour(head_delay=0.02)
    await call_for(15, llm)
    server.behaviour = Behaviour(status=401, head_delay=0.02)
    await call_for(4, llm)
    taken = snapshot()
    json.dumps(taken.to_dict())
    finding, *_ = diagnose(taken)
    assert (finding.kind, finding.severity) == (Kind.CALLS_FAILING, Severity.ERROR)
    assert finding.pool == "openai/httpx2"
    assert " calls to openai failed in the last " in finding.observed
    assert "(0% earlier)" in finding.observed
    assert " x 401" in finding.observed
    assert finding.advice.startswith("Check the API key")

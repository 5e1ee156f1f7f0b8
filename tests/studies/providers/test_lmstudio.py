"""lmstudio: six pools for each call, five of them of WebSockets, told as churn with a cure."""

from __future__ import annotations

import asyncio
import re

import pytest

from opentelemetry.instrumentation.gluellm import diagnose, snapshot
from opentelemetry.instrumentation.gluellm.diagnosis.findings import Kind
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.telemetry import Telemetry
from support.waiting import until

from .calls import call, create
from .rows import BY_PROVIDER
from .seeing import Fakes, instrumented

pytestmark = pytest.mark.all_sdks

ROW = BY_PROVIDER["lmstudio"]
CALLS = 3
CHURN = re.compile(
    r"Client churn on lmstudio/httpx: (?P<pools>\d+) connection pools for one origin in the last "
    r"minute, (?P<per_call>[\d.]+) per call and over WebSocket, with 1\.0 requests each, "
)
CURE = "any-llm's lmstudio provider builds a client for each call by itself"


def test_calls_are_told_as_churn(fakes: Fakes, caplog: pytest.LogCaptureFixture) -> None:
    """In the log and by diagnose(): so many pools a call, over WebSocket, and what to do."""

    def warnings() -> list[str]:
        lines = [record.getMessage() for record in caplog.records]
        return [line for line in lines if line.startswith("Client churn")]

    async def run(origin: str, telemetry: Telemetry) -> None:
        instance = create("lmstudio", origin)
        for _ in range(CALLS):
            await call(instance, ROW)
        await until(warnings, "the warning")
        assert telemetry.value(semconv.POOL_OPENED, name="lmstudio") == CALLS * ROW.pools

    with instrumented() as telemetry, fakes.of(ROW, lambda _: None) as (origin, _):
        asyncio.run(run(origin, telemetry))
        findings = [
            finding for finding in diagnose(snapshot()) if finding.kind is Kind.CLIENT_CHURN
        ]
    (line,) = warnings()
    told = CHURN.match(line)
    assert told is not None, line
    assert int(told["pools"]) >= 10
    # A call may be under way that has yet to open most of its own.
    assert ROW.pools * (CALLS - 1) / CALLS <= float(told["per_call"]) <= ROW.pools
    assert CURE in line
    (finding,) = findings
    assert finding.seen.startswith("18 pools opened for 18 requests of 3 calls (1.0 per pool)")
    assert "over WebSocket" in finding.seen
    assert finding.cure.startswith(CURE)


def test_websockets_are_no_leaks_and_no_failures(fakes: Fakes) -> None:
    """They are read all the time, and whoever closes one ends a read."""
    with instrumented() as telemetry, fakes.of(ROW, lambda _: None) as (origin, _):

        async def run() -> None:
            await call(create("lmstudio", origin), ROW)

        asyncio.run(run())
        errors = telemetry.by(semconv.REQUESTS, "status", "error")
        closed = telemetry.by(semconv.CONNECTION_CLOSED, "reason")
        connections = telemetry.by(semconv.OPEN_CONNECTIONS, "protocol")
    assert set(errors) <= {(200, None), (101, None), (101, "cancelled")}
    assert set(closed) <= {"pool_closed", "connection_close", "cancelled"}
    assert connections == {}

"""What the process finds by itself reaches metrics and the log, and ends."""

import asyncio
import os
import re
from typing import Any

import openai
import pytest

from gluellm_diagnosis import diagnose
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.providers import CHAT, STREAM
from support.telemetry import Telemetry
from support.waiting import wait_until

pytestmark = pytest.mark.anyio
_FOUND = semconv.FINDING_CURRENT
_LEAK = r"Finding \(error, PID \d+\): leak in openai/httpx2: "


def client(server: Any, connections: int = 2) -> openai.AsyncOpenAI:
    """The SDK's client, with a small pool."""
    import httpx2

    limits = httpx2.Limits(max_connections=connections)
    http_client = openai.DefaultAsyncHttpxClient(limits=limits)
    return openai.AsyncOpenAI(
        base_url=f"{server.url}/v1", api_key="k", http_client=http_client, max_retries=0
    )


def found(telemetry: Telemetry) -> dict[str, float]:
    """Findings, each with its severity, and whether they are active."""
    return {
        f"{point.attributes[semconv.FINDING_KIND]} {point.attributes[semconv.FINDING_SEVERITY]}": (
            point.value
        )
        for point in telemetry.points(_FOUND)
    }


async def leaking(sdk: openai.AsyncOpenAI) -> tuple[list[Any], asyncio.Task[Any]]:
    """Leave both connections to streams that nobody reads, and queue a third call."""
    streams = [await sdk.chat.completions.create(model="m", **STREAM) for _ in range(2)]
    return streams, asyncio.ensure_future(sdk.chat.completions.create(model="m", **CHAT))


async def test_leak_is_found_and_ends(server, instrument, telemetry, reports):
    clock = instrument(findings_interval=1)
    sdk = client(server)
    streams, waiting = await leaking(sdk)
    await asyncio.sleep(0)
    clock.advance(30)
    wait_until(lambda: found(telemetry).get("leak error"), "the finding")
    libraries = {one.attributes.get(semconv.POOL_LIBRARY) for one in telemetry.points(_FOUND)}
    assert libraries == {"httpx2"}
    wait_until(lambda: reports.warnings(_LEAK), "the log")
    (record,) = [r for r in reports.kept if re.match(_LEAK, r.getMessage())]
    first, rest = record.getMessage().split("\n", 1)
    assert "2 of 2 connections held by unread answers" in first
    assert "test_findings.py" in rest
    for stream in streams:
        await stream.close()
    await waiting
    clock.advance(600)
    wait_until(lambda: found(telemetry).get("leak error") == 0, "its end")
    await sdk.close()


async def test_rule_that_raises_is_counted_and_the_other_findings_are_exported(
    server, instrument, telemetry, reports, monkeypatch
):
    def fails(*_: Any) -> None:
        raise ValueError("text that may be private")

    broken = [row._replace(find=fails) for row in diagnose.OF_PROCESS]
    monkeypatch.setattr(diagnose, "OF_PROCESS", broken)
    clock = instrument(findings_interval=1)
    sdk = client(server)
    streams, waiting = await leaking(sdk)
    await asyncio.sleep(0)
    clock.advance(30)
    wait_until(lambda: found(telemetry).get("leak error"), "the finding")
    (counted,) = telemetry.points(semconv.INSTRUMENTATION_ERRORS)
    assert counted.attributes == {semconv.INSTRUMENTATION_KIND: "judgement"}
    assert counted.value >= len(broken)
    text = "The instrumentation failed in judgement with ValueError; counted in"
    wait_until(lambda: reports.warnings(text), "the warning")
    for stream in streams:
        await stream.close()
    await waiting
    await sdk.close()


async def test_nothing_is_found_with_findings_turned_off(server, instrument, telemetry):
    clock = instrument(findings=False, findings_interval=1)
    sdk = client(server)
    streams, waiting = await leaking(sdk)
    clock.advance(30)
    wait_until(lambda: telemetry.value(semconv.LEAK_SUSPECTED) == 2, "the leaks")
    assert not telemetry.points(_FOUND)
    assert not telemetry.points(semconv.FINDING_JUDGED)
    waiting.cancel()
    for stream in streams:
        await stream.close()
    await sdk.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
async def test_forked_child_has_no_findings(server, instrument, telemetry):
    clock = instrument(findings_interval=1)
    sdk = client(server)
    streams, waiting = await leaking(sdk)
    clock.advance(30)
    wait_until(lambda: found(telemetry).get("leak error"), "the finding")
    pid = os.fork()
    if pid == 0:
        os._exit(int(bool(found(telemetry))))
    assert os.waitpid(pid, 0)[1] == 0  # noqa: ASYNC222  the child ends at once
    waiting.cancel()
    for stream in streams:
        await stream.close()
    await sdk.close()


async def test_findings_are_gone_after_uninstrument(server, instrument, telemetry):
    clock = instrument(findings_interval=1)
    sdk = client(server)
    streams, waiting = await leaking(sdk)
    clock.advance(30)
    wait_until(lambda: found(telemetry).get("leak error"), "the finding")
    GlueLLMInstrumentor().uninstrument()
    assert not found(telemetry)
    waiting.cancel()
    for stream in streams:
        await stream.close()
    await sdk.close()

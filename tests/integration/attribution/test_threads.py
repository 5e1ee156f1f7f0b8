"""Synchronous httpx in the worker threads of an event loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import anyio.to_thread
import httpx
import pytest

from gluellm_diagnosis.findings import Kind
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, diagnose, snapshot
from support.script import Reply
from support.waiting import until, wait_until

THREADS, CALLS = 2, 5


@pytest.mark.parametrize("whose", ["anyio", "asyncio", "a batch"])
def test_calls_that_wait_for_a_thread_of_the_loop_are_reported(server, telemetry, whose):
    """FastAPI runs sync endpoints in AnyIO's threads. A batch may queue in its own executor."""
    gate = server.gate()
    url = server.reply("/", Reply(head_after=gate))

    async def main():
        executor = ThreadPoolExecutor(THREADS, thread_name_prefix=whose)
        run = partial(asyncio.get_running_loop().run_in_executor, executor)
        if whose == "anyio":
            anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
            run = anyio.to_thread.run_sync
        with httpx.Client(trust_env=False, timeout=60) as client:
            GlueLLMInstrumentor().instrument_client(client)
            calls = [asyncio.ensure_future(run(client.get, url)) for _ in range(CALLS)]
            await until(lambda: telemetry.current("awaiting_response") == THREADS, "the requests")
            taken = snapshot()
            gate.open()
            await asyncio.gather(*calls)
        executor.shutdown()
        return taken

    taken = asyncio.run(main())
    executors = [(e.threads, e.requests, e.waiting, e.anyio) for e in taken.process.executors]
    findings = {finding.kind: finding for finding in diagnose(taken)}
    if whose == "a batch":
        assert not executors
        return
    waiting = CALLS - THREADS
    assert executors == [(THREADS, THREADS, waiting, whose == "anyio")]
    finding = findings[Kind.EXECUTOR_FULL]
    if whose == "anyio":
        assert finding.observed == (
            f"{THREADS} requests in flight in the {THREADS} worker threads of AnyIO, and {waiting} "
            "calls waiting for a thread."
        )
        assert f"limiter().total_tokens = {CALLS}" in finding.advice
    wait_until(lambda: not snapshot().process.executors)  # nothing keeps the loop alive

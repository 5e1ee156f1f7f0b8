"""Providers whose SDK is botocore: it blocks, so any-llm calls it in threads of an executor."""

from __future__ import annotations

import asyncio
import importlib
import json
import pkgutil
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("boto3")

import boto3
import urllib3
from any_llm import AnyLLM
from botocore.awsrequest import AWSHTTPConnectionPool, AWSHTTPSConnectionPool
from botocore.config import Config

from opentelemetry.instrumentation.gluellm import (
    GlueLLMInstrumentor,
    Snapshot,
    diagnose,
    snapshot,
)
from opentelemetry.instrumentation.gluellm.diagnosis.findings import Kind, Severity
from opentelemetry.instrumentation.gluellm.limits import configure_pools, reset_pools
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.http1 import HTTP1Server
from support.installation import instrument
from support.listener import Listen
from support.proxies import HTTPProxy
from support.script import Delay, Reply
from support.telemetry import Telemetry
from support.waiting import wait_until

pytestmark = pytest.mark.all_sdks

MODEL = "model"
QUESTION: Any = [{"role": "user", "content": "hi"}]
ANSWER = {
    "output": {"message": {"role": "assistant", "content": [{"text": "ok"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
    "metrics": {"latencyMs": 1},
}


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that open nothing, and no look for others."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """The instrumentation as it is by default: any-llm's pools only."""
    telemetry = Telemetry()
    instrument(telemetry, scope="any_llm")
    yield telemetry
    GlueLLMInstrumentor().uninstrument()
    telemetry.shutdown()


def answers(server: HTTP1Server, head_after: Delay = 0.0) -> str:
    """Let the server answer as Bedrock does, and give its origin."""
    body = json.dumps(ANSWER).encode()
    headers = (("content-type", "application/json"),)
    reply = Reply(head_after=head_after, headers=headers, chunks=((0.0, body),))
    server.reply(f"/model/{MODEL}/converse", reply)
    return server.origin


def in_the_middle(
    calls: Callable[[], list[Awaitable[Any]]], ready: Callable[[], bool], threads: int | None = None
) -> Snapshot:
    """Make calls at once and take a snapshot when they are ready; they are over at the end."""

    async def main() -> Snapshot:
        if threads is not None:
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(threads))
        tasks = [asyncio.ensure_future(call) for call in calls()]
        deadline = time.monotonic() + 10
        while not ready():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        taken = snapshot()
        await asyncio.gather(*tasks)
        return taken

    return asyncio.run(main())


def test_bedrock(server: HTTP1Server, telemetry: Telemetry) -> None:
    """Its pool is its own, under its registered name, and its requests know their call."""
    llm = AnyLLM.create("bedrock", api_base=answers(server, 0.3))
    taken = in_the_middle(
        lambda: [llm.acompletion(model=MODEL, messages=QUESTION)],
        lambda: telemetry.current("awaiting_response") == 1,
    )
    (pool,) = taken.pools
    assert (pool.name, pool.library, pool.provider) == ("bedrock", "urllib3", "bedrock")
    assert (pool.max_connections, pool.max_idle_connections) == (None, 10)
    assert pool.read_timeout == 60
    (request,) = pool.requests
    assert (request.model, request.operation, request.provider) == (MODEL, "chat", "bedrock")
    if sys.version_info >= (3, 12):  # before, a coroutine's maker is not found in its task
        assert request.place is not None
        assert "test_boto.py" in request.place
    assert telemetry.by(semconv.REQUESTS, "library", "name", "provider", "status") == {
        ("urllib3", "bedrock", "aws.bedrock", 200): 1
    }
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle") == 1
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0


def test_client_for_each_timeout(server: HTTP1Server, telemetry: Telemetry) -> None:
    """It is built in a thread of the executor, by a session that is any-llm's."""
    llm = AnyLLM.create("bedrock", api_base=answers(server))
    for timeout in (None, 5, 7):
        asyncio.run(llm.acompletion(model=MODEL, messages=QUESTION, timeout=timeout))
    assert telemetry.by(semconv.REQUESTS, "name") == {"bedrock": 3}
    assert telemetry.value(semconv.POOL_OPENED) == 3
    assert sorted(pool.read_timeout or 0 for pool in snapshot().pools) == [5, 7, 60]


def test_session_that_builds_a_client_by_itself(server: HTTP1Server, telemetry: Telemetry) -> None:
    """Also where no call is around it: a thread of which nothing is known."""
    llm: Any = AnyLLM.create("bedrock", api_base=answers(server))
    with ThreadPoolExecutor(1) as executor:
        client = executor.submit(llm._client_for_timeout, 3).result()
        executor.submit(client.converse, modelId=MODEL, messages=[]).result()
    assert telemetry.by(semconv.REQUESTS, "name", "provider") == {("bedrock", "aws.bedrock"): 1}


def test_pools_behind_a_proxy(server: HTTP1Server, listen: Listen, telemetry: Telemetry) -> None:
    """botocore builds the manager for a proxy with the first request, in its thread."""
    proxy = listen(HTTPProxy)
    config = Config(proxies={"http": proxy.origin})
    llm = AnyLLM.create("bedrock", api_base=answers(server), config=config)
    asyncio.run(llm.acompletion(model=MODEL, messages=QUESTION))
    assert proxy.timeline.count("forward") == 1
    assert telemetry.by(semconv.REQUESTS, "name", "port") == {("bedrock", server.port): 1}


def test_client_that_is_handed_in(server: HTTP1Server, telemetry: Telemetry) -> None:
    """A boto3 client of one's own has no pool yet when it is handed in."""
    client = boto3.client("bedrock-runtime", endpoint_url=answers(server))
    other = boto3.client("bedrock-runtime", endpoint_url=server.origin)
    GlueLLMInstrumentor().instrument_client(client, pool_name="mine")
    client.converse(modelId=MODEL, messages=[])
    other.converse(modelId=MODEL, messages=[])
    assert telemetry.by(semconv.REQUESTS, "name", "library") == {("mine", "urllib3"): 1}
    GlueLLMInstrumentor().uninstrument_client(client)
    client.converse(modelId=MODEL, messages=[])
    assert telemetry.value(semconv.POOL_LIVE) == 0


def test_default_session_stays_everybodys(
    server: HTTP1Server, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """any-llm's sagemaker is the first to use boto3's default session: what the application makes
    of it later is none of any-llm's, and keeps its own limits."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    configure_pools(max_connections=3)
    try:
        AnyLLM.create("sagemaker", api_base=server.origin)
        client = boto3.client("bedrock-runtime", endpoint_url=answers(server))
        client.converse(modelId=MODEL, messages=[])
    finally:
        reset_pools()
    assert telemetry.by(semconv.REQUESTS, "name") == {}
    assert client._endpoint.http_session._manager.connection_pool_kw["maxsize"] == 10


@pytest.mark.parametrize("calls", [3, 4, 5, 10])
def test_more_calls_than_threads(server: HTTP1Server, telemetry: Telemetry, calls: int) -> None:
    """Four threads: the fifth call waits for one, and no pool sees it."""
    gate = server.gate()
    llm = AnyLLM.create("bedrock", api_base=answers(server, gate))
    seen: list[Snapshot] = []

    def ready() -> bool:
        if telemetry.current("awaiting_response") != min(calls, 4):
            return False
        seen.append(snapshot())
        gate.open()
        return True

    in_the_middle(
        lambda: [llm.acompletion(model=MODEL, messages=QUESTION) for _ in range(calls)],
        ready,
        threads=4,
    )
    (executor,) = seen[0].process.executors
    assert (executor.threads, executor.requests) == (4, min(calls, 4))
    assert executor.waiting == max(calls - 4, 0)
    assert executor.pools == ("bedrock/urllib3",)
    found = {finding.kind: finding for finding in diagnose(seen[0])}
    assert Kind.UNBOUNDED_POOL not in found
    if calls <= 4:
        assert Kind.EXECUTOR_FULL not in found
    else:
        finding = found[Kind.EXECUTOR_FULL]
        assert finding.severity is (Severity.WARNING if calls >= 8 else Severity.INFO)
        assert finding.pool == "bedrock/urllib3"
        assert f"{calls - 4} call" in finding.seen
        assert f"ThreadPoolExecutor({calls})" in finding.cure
        assert "max_pool_connections" not in finding.cure  # it keeps 10 already
    assert server.timeline.count("accept") == min(calls, 4)


def test_threads_that_something_else_has(server: HTTP1Server, telemetry: Telemetry) -> None:
    """Calls wait for a thread, but not because of the provider: nothing is said of it."""
    gate = server.gate()
    llm = AnyLLM.create("bedrock", api_base=answers(server, gate))
    seen: list[Snapshot] = []

    async def elsewhere() -> None:
        await asyncio.to_thread(time.sleep, 0.5)

    def ready() -> bool:
        if telemetry.current("awaiting_response") != 1:
            return False
        seen.append(snapshot())
        gate.open()
        return True

    def calls() -> list[Awaitable[Any]]:
        busy: list[Awaitable[Any]] = [elsewhere() for _ in range(3)]
        return [llm.acompletion(model=MODEL, messages=QUESTION), *busy, elsewhere()]

    in_the_middle(calls, ready, threads=4)
    (executor,) = seen[0].process.executors
    assert executor.waiting == 1
    assert Kind.EXECUTOR_FULL not in {finding.kind for finding in diagnose(seen[0])}


def test_executor_that_is_gone_is_nobodys(server: HTTP1Server, telemetry: Telemetry) -> None:
    """It is not kept alive, and the pool goes on without it."""
    llm = AnyLLM.create("bedrock", api_base=answers(server))
    asyncio.run(llm.acompletion(model=MODEL, messages=QUESTION))
    wait_until(lambda: not snapshot().process.executors)
    assert snapshot().pools[0].threads is None
    assert telemetry.value(semconv.POOL_LIVE) == 1


def test_pools_of_botocore_are_urllib3s_own() -> None:
    """Since botocore 1.11 it uses the urllib3 that is installed; what it vendors has no pools."""
    assert issubclass(AWSHTTPConnectionPool, urllib3.HTTPConnectionPool)
    assert issubclass(AWSHTTPSConnectionPool, urllib3.HTTPSConnectionPool)
    vendored = importlib.import_module("botocore.vendored.requests.packages.urllib3")
    assert {found.name for found in pkgutil.iter_modules(vendored.__path__)} == {"exceptions"}


def test_urllib3_of_requests_is_the_same() -> None:
    """``requests.packages.urllib3`` is another name for it."""
    packages = importlib.import_module("requests.packages")
    assert packages.urllib3 is urllib3

"""Providers on botocore, a blocking SDK that any-llm calls in threads of an executor."""

import asyncio
import json
import threading
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("boto3")

import boto3
from any_llm import AnyLLM
from botocore.config import Config

from gluellm_diagnosis.findings import Kind
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, Snapshot, diagnose, snapshot
from opentelemetry.instrumentation.gluellm.limits import configure_pools, reset_pools
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.fake_llms import ANSWERS
from support.http1 import HTTP1Server
from support.proxies import HTTPProxy
from support.script import Delay, Reply
from support.telemetry import Telemetry
from support.waiting import until, wait_until

pytestmark = [pytest.mark.all_sdks, pytest.mark.anyio]

MODEL = "model"
QUESTION: Any = [{"role": "user", "content": "hi"}]


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set invalid credentials, and prevent the search for others."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def telemetry(instrument):
    """The instrumentation with its default scope, any-llm's pools only."""
    return instrument(scope="llm")


def answers(server: HTTP1Server, head_after: Delay = 0.0) -> str:
    """Make the server answer as Bedrock does. Returns its origin."""
    body = json.dumps(ANSWERS["/converse"]).encode()
    headers = (("content-type", "application/json"),)
    reply = Reply(head_after=head_after, headers=headers, chunks=((0.0, body),))
    server.reply(f"/model/{MODEL}/converse", reply)
    return server.origin


async def in_the_middle(
    server: HTTP1Server, telemetry: Telemetry, waiting: int, calls: int = 1, busy: int = 0
) -> Snapshot:
    """Take a snapshot when ``waiting`` calls await a response, on an executor with four threads."""
    asyncio.get_running_loop().set_default_executor(executor := ThreadPoolExecutor(4))
    gate = server.gate()
    llm = AnyLLM.create("bedrock", api_base=answers(server, gate))
    elsewhere = threading.Event()

    def call() -> Awaitable[Any]:
        return asyncio.ensure_future(llm.acompletion(model=MODEL, messages=QUESTION))

    tasks = [call() for _ in range(calls)]
    await until(lambda: telemetry.current("awaiting_response") == waiting, "the calls")
    others = [asyncio.ensure_future(asyncio.to_thread(elsewhere.wait)) for _ in range(busy)]
    await until(lambda: executor._work_queue.qsize() == max(calls + busy - 4, 0), "the threads")
    taken = snapshot()
    elsewhere.set()
    gate.open()
    await asyncio.gather(*tasks, *others)
    return taken


async def test_bedrock_pool_has_its_provider_and_its_calls(server, telemetry):
    """The pool has the registered name. Its requests have provider, model and operation."""
    taken = await in_the_middle(server, telemetry, 1)
    (pool,) = taken.pools
    assert (pool.name, pool.library, pool.provider) == ("bedrock", "urllib3", "bedrock")
    assert (pool.max_connections, pool.max_idle_connections) == (None, 10)
    assert pool.read_timeout == 60
    (request,) = pool.requests
    assert (request.model, request.operation, request.provider) == (MODEL, "chat", "bedrock")
    assert request.call_site is not None
    assert "test_boto.py" in request.call_site
    assert telemetry.by(semconv.REQUESTS, "library", "name", "provider", "status") == {
        ("urllib3", "bedrock", "aws.bedrock", 200): 1
    }
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0


def test_client_built_by_a_session_is_attributed(server, listen, telemetry):
    """The thread has no context, and the first request creates a manager for the proxy."""
    proxy = listen(HTTPProxy)
    config = Config(proxies={"http": proxy.origin})
    llm: Any = AnyLLM.create("bedrock", api_base=answers(server), config=config)
    with ThreadPoolExecutor(1) as executor:
        client = executor.submit(llm._client_for_timeout, 3).result()
        executor.submit(client.converse, modelId=MODEL, messages=[]).result()
    assert proxy.timeline.count("forward") == 1
    assert telemetry.by(semconv.REQUESTS, "name", "provider", "port") == {
        ("bedrock", "aws.bedrock", server.port): 1
    }


def test_boto3_client_can_be_instrumented_before_it_has_a_pool(server, telemetry):
    """A user's boto3 client has no pool before its first request."""
    client = boto3.client("bedrock-runtime", endpoint_url=answers(server))
    other = boto3.client("bedrock-runtime", endpoint_url=server.origin)
    GlueLLMInstrumentor().instrument_client(client, pool_name="mine")
    client.converse(modelId=MODEL, messages=[])
    other.converse(modelId=MODEL, messages=[])
    assert telemetry.by(semconv.REQUESTS, "name", "library") == {("mine", "urllib3"): 1}
    GlueLLMInstrumentor().uninstrument_client(client)
    client.converse(modelId=MODEL, messages=[])
    assert telemetry.value(semconv.POOL_LIVE) == 0


def test_default_session_of_boto3_is_not_attributed_to_any_llm(server, telemetry, monkeypatch):
    """any-llm's sagemaker creates boto3's default session.

    Clients that the application later creates from it are not any-llm's, and keep their limits.
    """
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


@pytest.mark.parametrize("calls", [4, 5, 10])
async def test_calls_beyond_the_executors_threads_are_reported(server, telemetry, calls):
    """With four threads, the fifth call waits for a thread, not for a pool."""
    taken = await in_the_middle(server, telemetry, 4, calls)
    (executor,) = taken.process.executors
    assert (executor.threads, executor.requests, executor.waiting) == (4, 4, calls - 4)
    assert executor.pools == ("bedrock/urllib3",)
    found = {finding.kind: finding for finding in diagnose(taken)}
    assert Kind.UNBOUNDED_POOL not in found
    assert (Kind.EXECUTOR_FULL in found) is (calls > 4)
    if calls == 10:
        assert "max_pool_connections" not in found[Kind.EXECUTOR_FULL].advice  # it keeps 10 already
    assert server.timeline.count("accept") == 4


async def test_threads_used_by_other_code_are_not_blamed_on_the_provider(server, telemetry):
    """Calls wait for a thread, but not because of the provider, so no finding blames it."""
    taken = await in_the_middle(server, telemetry, 1, busy=4)
    (executor,) = taken.process.executors
    assert executor.waiting == 1
    assert Kind.EXECUTOR_FULL not in {finding.kind for finding in diagnose(taken)}


def test_executor_of_an_ended_loop_is_not_kept_alive(server, telemetry):
    llm = AnyLLM.create("bedrock", api_base=answers(server))
    asyncio.run(llm.acompletion(model=MODEL, messages=QUESTION))
    wait_until(lambda: not snapshot().process.executors)
    assert snapshot().pools[0].threads is None
    assert telemetry.value(semconv.POOL_LIVE) == 1

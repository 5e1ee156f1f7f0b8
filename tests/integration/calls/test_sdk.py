"""Calls of openai's and anthropic's SDKs that the application makes itself."""

import asyncio
import contextlib
import gc
import json
import math
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import openai
import pytest

from gluellm_pools.fake_provider import Behaviour, FakeProvider
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.providers import CHAT, HTTP_OF_OPENAI, STREAM, create
from support.sdk_clients import MESSAGES, SDKS, chat, client_of, completions_of
from support.telemetry import Telemetry
from support.waiting import until

from .ledger import Ledger

pytestmark = pytest.mark.anyio
both = pytest.mark.parametrize("sdk", SDKS)
REFUSED = Behaviour(status=429, retry_after=0.3, head_delay=0.2)
SLOW_STREAM = Behaviour(tokens=50, token_rate=50)


@pytest.fixture
def clients(server: FakeProvider) -> Iterator[Callable[..., Any]]:
    """Make clients of SDKs, which are closed at the end of the test."""
    with contextlib.ExitStack() as stack:

        def make(sdk: str, **settings: Any) -> Any:
            client = client_of(sdk, server, **settings)
            if not settings.get("is_async"):
                stack.callback(client.close)
            return client

        yield make


def outcomes() -> Counter[tuple[str, str]]:
    """Ended calls by source and outcome."""
    return Counter(
        {
            (calls.source, outcome): count
            for calls in snapshot().process.calls
            for outcome, count in calls.outcomes.items()
            if count
        }
    )


@both
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_call_refused_twice(
    sdk: str, is_async: bool, server: FakeProvider, ledger: Ledger, clients: Any
) -> None:
    """Attempts are ``requesting``, pauses ``backoff``. Two requests are retries."""
    client = clients(sdk, is_async=is_async)
    server.script(REFUSED, REFUSED, Behaviour(head_delay=0.2))
    answer = chat(client)
    if is_async:
        await answer
    calls = ledger.calls
    assert (calls.source, calls.provider) == ("sdk", sdk)
    ledger.check("succeeded", retries=2, requesting=0.6, backoff=0.6)
    assert (calls.pauses, calls.pauses_requested) == (2, 2)
    resent = ledger.telemetry.now().by(semconv.REQUESTS, "status", "resend")
    assert resent == {(429, None): 1, (429, True): 1, (200, True): 1}
    (span,) = ledger.telemetry.spans("gluellm.call")
    took = (span.end_time - span.start_time) / 1e9
    assert sum(calls.stage_seconds.values()) == pytest.approx(took, abs=0.001)
    assert span.attributes["gen_ai.request.model"] == "m"
    assert span.attributes["gen_ai.operation.name"] == "chat"


_IN_ANOTHER_PROCESS = """
    import json, math, sys
    from collections import Counter
    from gluellm_pools.fake_provider import Behaviour, FakeProviderThread
    first = {"429": Behaviour(status=429, retry_after=0.01),
             "500": Behaviour(status=500, retry_after=0.01),
             "reset": Behaviour(reset_before_head=True)}
    each = {"timeout": Behaviour(head_delay=math.inf), "cancel": Behaviour(head_delay=math.inf),
            "cut": Behaviour(reset_after=3)}
    seen = Counter()
    def answer(request):
        seen[request.model] += 1
        refused = seen[request.model] % 2 and first.get(request.model)
        return refused or each.get(request.model, Behaviour())
    with FakeProviderThread(behaviour=answer) as provider:
        print(provider.port, flush=True)
        for _ in sys.stdin:
            print(json.dumps(seen), flush=True)
"""
"""A provider that answers by model, and prints the requests of each model when it gets a line."""


class Elsewhere:
    """A fake provider in another process."""

    def __init__(self, process: Any) -> None:
        self._process = process
        self.anthropic_url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        self.openai_url = f"{self.anthropic_url}/v1"

    def requests(self) -> Counter[str]:
        """Requests that arrived, by model."""
        print(file=self._process.stdin, flush=True)
        return Counter(json.loads(self._process.stdout.readline()))


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    command = [sys.executable, "-c", textwrap.dedent(_IN_ANOTHER_PROCESS)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Elsewhere(process)
        process.stdin.close()  # type: ignore[union-attr]  # ends it


KINDS = ("ok", "429", "500", "reset", "timeout", "cancel", "read", "kept", "dropped", "cut")
OUTCOME = {
    **dict.fromkeys(("ok", "429", "500", "reset", "read"), "succeeded"),
    **dict.fromkeys(("kept", "dropped"), "abandoned"),
    **dict.fromkeys(("timeout", "cut"), "failed"),
    "cancel": "cancelled",
}


def _package(client: Any) -> Any:
    return anthropic if hasattr(client, "messages") else openai


async def _one(client: Any, kind: str, kept: list[Any], arrived: Callable[[], int]) -> None:
    is_async = isinstance(client, (openai.AsyncOpenAI, anthropic.AsyncAnthropic))
    if kind in ("read", "kept", "dropped", "cut"):
        stream = chat(client, model=kind, stream=True)
        if is_async:
            stream = await stream
            async for _ in stream:
                if kind in ("kept", "dropped"):
                    break
        else:
            for _ in stream:
                if kind in ("kept", "dropped"):
                    break
        if kind == "kept":
            kept.append(stream)
    elif kind == "cancel" and is_async:
        before = arrived()
        task = asyncio.create_task(chat(client, model=kind))
        await until(lambda: arrived() > before, "the request")
        task.cancel()
        await task
    else:
        if kind == "timeout":
            client = client.with_options(
                timeout=_package(client).Timeout(9, read=0.05), max_retries=0
            )
        answer = chat(client, model=kind)
        if is_async:
            await answer


def _interrupt(request: Any) -> None:
    if b'"cancel"' in request.read():
        raise KeyboardInterrupt


@both
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_outcomes_of_mixed_calls(
    sdk: str,
    is_async: bool,
    elsewhere: Elsewhere,
    ledger: Ledger,
    clients: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """20 calls of each of ten kinds, whose requests a provider in another process has counted.

    A sync call is interrupted, since it can't be cancelled.
    """
    package: Any = {"openai": openai, "anthropic": anthropic}[sdk]
    monkeypatch.setattr(package._base_client, "INITIAL_RETRY_DELAY", 0.01)
    settings: dict[str, Any] = {"is_async": is_async}
    if not is_async:
        http = package.DefaultHttpxClient(event_hooks={"request": [_interrupt]})
        settings["http_client"] = http
    client = client_of(sdk, elsewhere, **settings)
    kept: list[Any] = []
    for number in range(200):
        with contextlib.suppress(Exception, asyncio.CancelledError, KeyboardInterrupt):
            kind = KINDS[number % len(KINDS)]
            await _one(client, kind, kept, lambda: elsewhere.requests()["cancel"])
        # httpcore 1 can deadlock if a sync stream is garbage-collected
        # while the pool's lock is held.
        if kind == "dropped":
            gc.collect()
    assert ledger.calls.in_flight >= len(kept) == 20
    for stream in kept:
        closing = stream.close()
        if is_async:
            await closing
    kept.clear()
    gc.collect()
    await until(lambda: not ledger.calls.in_flight, "the end of dropped streams")
    calls = ledger.calls
    assert {name: count for name, count in calls.outcomes.items() if count} == {
        outcome: 20 * list(OUTCOME.values()).count(outcome) for outcome in set(OUTCOME.values())
    }
    assert calls.errors["read_timeout"] == calls.errors["read_error"] == 20
    refused = dict.fromkeys(("429", "500", "reset"), 40)
    sent = Counter({kind: 20 for kind in KINDS if is_async or kind != "cancel"}) | Counter(refused)
    assert elsewhere.requests() == sent
    assert calls.retries == 60
    # Each call's duration is its own begin and end.
    whole = ledger.telemetry.total(semconv.CALL_DURATION)
    assert sum(calls.stage_seconds.values()) == pytest.approx(whole)
    closing = client.close()
    if is_async:
        await closing


ENDINGS = ("dropped", "closed", "client first", "client first, closed")
MORE_ENDINGS = {"httpcore": ("unread", "loop"), "aiohttp": ("arrived",)}
"""Finalizers of aiohttp fail without their loop. httpcore never reads ahead."""


async def _leave(client: Any, ending: str) -> Any:
    """Leave a stream before its end. Return what outlives the event loop."""
    stream = await chat(client, stream=True)
    if ending != "unread":
        await anext(aiter(stream))
    if ending == "loop":
        return client, stream
    if ending == "arrived":
        await until(lambda: not any(pool.requests for pool in snapshot().pools), ending)
    if ending.startswith("client first"):
        await client.close()
    if ending.endswith("closed"):
        await stream.close()
    del stream
    # Each of the generators inside it is collected after the one around it.
    await until(lambda: (gc.collect(), not snapshot().process.calls[0].in_flight)[1], ending)
    return None


@both
@pytest.mark.parametrize("transport", MORE_ENDINGS)
def test_stream_that_is_left_is_abandoned(
    sdk: str, transport: str, server: FakeProvider, ledger: Ledger, clients: Any
) -> None:
    """Also if all of it has arrived, or its client or event loop is closed before it."""
    package: Any = {"openai": openai, "anthropic": anthropic}[sdk]
    for number, ending in enumerate(ENDINGS + MORE_ENDINGS[transport], 1):
        backend = {"http_client": package.DefaultAioHttpClient()} if transport == "aiohttp" else {}
        server.behaviour = Behaviour(stall_after=None if ending == "arrived" else 2)
        kept = asyncio.run(_leave(clients(sdk, is_async=True, **backend), ending))
        del kept
        gc.collect()
        assert outcomes() == {("sdk", "abandoned"): number}, ending


@both
def test_stream_that_outlives_its_sync_client_is_abandoned(
    sdk: str, server: FakeProvider, ledger: Ledger
) -> None:
    """Closing the client closes its connection."""
    with client_of(sdk, server) as client:
        stream = chat(client, stream=True)
        next(iter(stream))
    del stream
    gc.collect()
    ledger.check("abandoned")


@both
@pytest.mark.parametrize("outcome", ["succeeded", "abandoned"])
async def test_raw_response_from_aiohttp(
    outcome: str, sdk: str, server: FakeProvider, ledger: Ledger, clients: Any
) -> None:
    """One that arrives with its head is released before the SDK returns it; another is left."""
    package: Any = {"openai": openai, "anthropic": anthropic}[sdk]
    client = clients(sdk, is_async=True, http_client=package.DefaultAioHttpClient())
    left = outcome == "abandoned"
    server.behaviour = Behaviour(stall_after=2 if left else None)
    create = completions_of(client).with_streaming_response.create
    async with create(model="m", messages=MESSAGES, max_tokens=9, stream=left) as response:
        if not left:
            await response.read()
            ledger.check(outcome)
    ledger.check(outcome)
    await client.close()


@both
@pytest.mark.parametrize("how", ["read", "unread", "parsed", "dropped"])
async def test_raw_response(
    how: str, sdk: str, server: FakeProvider, ledger: Ledger, clients: Any
) -> None:
    """Its call ends with the body: when it was read, closed or dropped."""
    client = clients(sdk)
    completions = completions_of(client)
    arguments = {"model": "m", "messages": MESSAGES, "max_tokens": 9}
    if how == "dropped":
        completions.with_raw_response.create(**arguments, stream=True)
        gc.collect()
    elif how == "parsed":
        raw = completions.with_raw_response.create(**arguments, stream=True)
        assert ledger.stages() == {"requesting": 1}
        assert len(list(raw.parse())) > 1
    else:
        server.behaviour = Behaviour(tokens=2_000)
        streaming = completions.with_streaming_response.create(**arguments)
        with streaming as response:
            assert ledger.stages() == {"requesting": 1}
            if how == "read":
                response.read()
    ledger.check("abandoned" if how in ("unread", "dropped") else "succeeded")


@both
async def test_raw_response_that_breaks_off(
    sdk: str, server: FakeProvider, ledger: Ledger, clients: Any
) -> None:
    """Reading its body fails, after the SDK has returned it."""
    server.script(Behaviour(tokens=2_000, reset_after=1))
    completions = completions_of(clients(sdk))
    streaming = completions.with_streaming_response.create(
        model="m", messages=MESSAGES, max_tokens=9
    )
    with pytest.raises(Exception), streaming as response:  # noqa: B017
        response.read()
    ledger.check("failed")
    assert ledger.calls.errors == {"read_error": 1}


@both
async def test_helper_for_streams(sdk: str, ledger: Ledger, clients: Any) -> None:
    """``.stream()`` of both SDKs counts as one streamed call."""
    completions = completions_of(clients(sdk, is_async=True))
    async with completions.stream(model="m", messages=MESSAGES, max_tokens=9) as stream:
        async for _ in stream:
            assert ledger.calls.oldest_silence is not None
    ledger.check("succeeded")


@both
async def test_stream_read_in_another_task(
    sdk: str, server: FakeProvider, ledger: Ledger, clients: Any
) -> None:
    """The silence between two items counts there as well."""
    server.script(Behaviour(stall_after=2))
    stream = await chat(clients(sdk, is_async=True), stream=True)

    async def read() -> None:
        async for _ in stream:
            pass

    task = asyncio.create_task(read())
    await until(lambda: ledger.silence > 0.2, "the silence")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    ledger.check("cancelled", requesting=0.2)


@both
async def test_call_inside_any_llms_call_is_no_call(
    sdk: str, server: FakeProvider, ledger: Ledger
) -> None:
    """any-llm's call is the outermost one, streamed or not."""
    llm = create(sdk, server)
    await llm.acompletion(model="m", **CHAT)
    async for _ in await llm.acompletion(model="m", **STREAM):
        pass
    await asyncio.to_thread(create(sdk, server).completion, model="m", **CHAT)
    assert outcomes() == {("any_llm", "succeeded"): 3}


@both
async def test_calls_in_tasks_and_threads_count_once_each(
    sdk: str, server: FakeProvider, ledger: Ledger, clients: Any
) -> None:
    """Parallel tasks, an executor's threads, and calls of a tool that runs between two calls."""
    server.behaviour = Behaviour(head_delay=0.05)
    client, asynchronous = clients(sdk), clients(sdk, is_async=True)
    await asyncio.gather(*(chat(asynchronous) for _ in range(10)))
    with ThreadPoolExecutor(5) as executor:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(executor, chat, client) for _ in range(10)))

    async def tool() -> None:
        await asyncio.gather(asyncio.to_thread(chat, client), chat(asynchronous))

    await chat(asynchronous)
    await asyncio.create_task(tool())
    await chat(asynchronous)
    assert outcomes() == {("sdk", "succeeded"): 24}
    assert ledger.calls.retries == 0


@both
async def test_call_from_a_hook_of_a_running_call(
    sdk: str, server: FakeProvider, ledger: Ledger, clients: Any
) -> None:
    """A task that is spawned inside a call makes a call of its own."""
    other = clients(sdk, is_async=True)
    spawned: list[asyncio.Task[Any]] = []

    async def spawn(_: Any) -> None:
        spawned.append(asyncio.create_task(chat(other)))
        await spawned[0]

    http: Any = HTTP_OF_OPENAI
    if sdk == "anthropic":
        import httpx as http
    async with http.AsyncClient(event_hooks={"request": [spawn]}) as client:
        await chat(clients(sdk, is_async=True, http_client=client))
    assert outcomes() == {("sdk", "succeeded"): 2}


async def test_requests_that_no_pool_shows(ledger: Ledger) -> None:
    """With a transport of the application, attempts are ``requesting`` and retries count."""
    statuses = iter([429, 500, 200])
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": []}
    entered, answer = threading.Event(), threading.Event()

    def respond(_: Any) -> Any:
        entered.set()
        assert answer.wait(10)
        return HTTP_OF_OPENAI.Response(next(statuses), json=body, headers={"retry-after-ms": "50"})

    transport = HTTP_OF_OPENAI.MockTransport(respond)
    client = openai.OpenAI(
        api_key="any",
        base_url="http://gateway.invalid/v1",
        http_client=HTTP_OF_OPENAI.Client(transport=transport),
    )
    call = asyncio.create_task(asyncio.to_thread(chat, client))
    await until(entered.is_set, "the attempt")
    assert ledger.stages() == {"requesting": 1}
    assert "1 requesting (oldest" in str(snapshot())
    assert "1 with a request that no observed pool shows" in " ".join(str(snapshot()).split())
    answer.set()
    await call
    ledger.check("succeeded", retries=2, backoff=0.1)
    assert ledger.calls.provider == "openai"


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (
            lambda url: openai.AzureOpenAI(
                api_key="any", azure_endpoint=url, api_version="2024-10-21"
            ),
            "azure.ai.openai",
        ),
        (
            lambda url: anthropic.AnthropicFoundry(api_key="any", base_url=url),
            "azureanthropic",
        ),
    ],
    ids=["AzureOpenAI", "AnthropicFoundry"],
)
async def test_provider_of_a_platforms_client(
    make: Callable[[str], Any], expected: str, server: FakeProvider, ledger: Ledger
) -> None:
    """It is the provider of the client's platform, not of the SDK."""
    server.replies["POST", "/openai/deployments/m/chat/completions"] = {"choices": []}
    with contextlib.suppress(openai.APIError, anthropic.APIError), make(server.url) as client:
        chat(client)
    (found,) = ledger.telemetry.by(semconv.CALLS, "provider")
    assert found == expected


@both
async def test_requests_that_call_no_model_are_no_calls(
    sdk: str, server: FakeProvider, ledger: Ledger, clients: Any
) -> None:
    """Lists of models, for example."""
    server.replies["GET", "/v1/models"] = {"data": [], "has_more": False}
    clients(sdk).models.list()
    assert snapshot().process.calls == ()


@both
async def test_hooks_are_undone(sdk: str, server: FakeProvider, providers: Telemetry) -> None:
    """Every method is the identical object again; a client that was made before is covered."""
    package: Any = {"openai": openai, "anthropic": anthropic}[sdk]
    client = client_of(sdk, server)

    class Own(type(client)):  # type: ignore[misc]
        def request(self, *args: Any, **kwargs: Any) -> Any:
            return super().request(*args, **kwargs)

    owners = (
        package._base_client.BaseClient,
        package._base_client.SyncAPIClient,
        package._base_client.AsyncAPIClient,
        package._streaming.Stream,
        package._streaming.AsyncStream,
        Own,
    )
    before = [dict(vars(owner)) for owner in owners]
    GlueLLMInstrumentor().instrument(meter_provider=providers.meter_provider)
    chat(client)
    assert Own.request is not before[-1]["request"]
    with Own(api_key="any", base_url=client.base_url) as own:
        chat(own)
    assert outcomes() == {("sdk", "succeeded"): 2}
    GlueLLMInstrumentor().uninstrument()
    for owner, known in zip(owners, before, strict=True):
        assert all(vars(owner)[name] is value for name, value in known.items())
        assert "__init_subclass__" not in vars(owner).keys() - known.keys()
    chat(client)
    client.close()


@both
async def test_call_site_of_a_call(
    sdk: str, server: FakeProvider, ledger: Ledger, clients: Any
) -> None:
    """Its requests have the line of the call."""
    server.script(Behaviour(head_delay=math.inf))
    task = asyncio.create_task(asyncio.to_thread(chat, clients(sdk, timeout=1, max_retries=0)))
    await until(lambda: ledger.telemetry.current("awaiting_response") == 1, "the request")
    (request,) = (request for pool in snapshot().pools for request in pool.requests)
    assert request.call_site is not None
    assert request.call_site.endswith("in chat")
    assert (request.provider, request.model, request.operation) == (sdk, "m", "chat")
    await asyncio.gather(task, return_exceptions=True)


@both
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.usefixtures("ledger")
async def test_call_site_is_looked_up_once_and_where_the_last_one_was(
    sdk: str, is_async: bool, server: FakeProvider, clients: Any, forbid_walks: Any
) -> None:
    """The stack is not walked again. Requests of the call, retries as well, take its line."""
    client = clients(sdk, is_async=is_async)

    async def ask() -> None:
        answer = chat(client)
        if is_async:
            await answer

    await ask()
    found = forbid_walks()
    server.script(Behaviour(status=429, retry_after=0.01))
    await ask()
    assert server.counts.requests == 3
    assert found == ["ask" if is_async else "chat"]

"""A client that is used on a second event loop, with connections of the first one."""

import asyncio
import contextlib
import gc
import importlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from gluellm_diagnosis.findings import Severity
from opentelemetry.instrumentation.gluellm import diagnose, snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.script import Reply

RunInLoop = Callable[[Coroutine[Any, Any, Any]], Any]
WRONG = "wrong_event_loop"


class Client:
    """A client of a library, which sends its requests on the loop that runs them."""

    def __init__(self, library: str, **settings: Any) -> None:
        self._library = importlib.import_module(library)
        self._settings = settings
        self._client: Any = None

    async def open(self) -> None:
        name = "ClientSession" if self._library.__name__ == "aiohttp" else "AsyncClient"
        self._client = getattr(self._library, name)(**self._settings)

    async def first(self, url: str) -> None:
        if self._library.__name__ == "aiohttp":
            async with self._client.get(url) as response:
                await response.read()
        else:
            await self._client.get(url)

    async def second(self, url: str) -> None:
        """Do the same as `first`, at another call site."""
        if self._library.__name__ == "aiohttp":
            async with self._client.get(url) as response:
                await response.read()
        else:
            await self._client.get(url)


@contextlib.contextmanager
def first_loop(kind: str) -> Iterator[tuple[RunInLoop, Callable[[], None]]]:
    """Yield a loop's run function for the first request, and a function that closes it or not."""
    loop = asyncio.new_event_loop()
    if kind == "closed":
        yield loop.run_until_complete, loop.close
        return
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield lambda made: asyncio.run_coroutine_threadsafe(made, loop).result(30), lambda: None
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("kind", ["closed", "alive"])
@pytest.mark.parametrize(
    ("library", "untimed"),
    [("httpx", False), ("httpx2", False), ("aiohttp", False), ("aiohttp", True)],
)
def test_client_on_a_second_loop_is_reported_once_with_both_call_sites(
    library: str, untimed: bool, kind: str, server: Any, telemetry: Any
) -> None:
    """aiohttp fails before the pool, in its timer, or without a total timeout in the pool."""
    settings = {}
    if untimed:
        settings["timeout"] = importlib.import_module("aiohttp").ClientTimeout(total=None)
    client = Client(library, **settings)
    # If both loops run, an immediate response is read without waiting, and nothing fails.
    gate = server.gate()
    slow = server.reply("/slow", Reply(head_after=gate))
    with first_loop(kind) as (run, done):
        run(client.open())
        run(client.first(server.url()))
        (born,) = telemetry.points(semconv.ANOMALIES, anomaly=WRONG)
        assert born.value == 0
        done()
        failed = 0
        for _ in range(3):  # httpx drops the failed connection, so the next request works
            try:
                asyncio.run(client.second(slow))
            except RuntimeError:
                failed += 1
                gate.open()
    assert failed
    assert telemetry.by(semconv.ANOMALIES, "anomaly") == {WRONG: failed}
    (finding,) = [found for found in diagnose(snapshot()) if found.kind == WRONG]
    assert finding.severity is Severity.ERROR
    sent, established = finding.observed.split("connections were established at")
    assert "Client.second" in sent
    assert "Client.first" in established
    assert finding.advice.startswith("Run all calls in one event loop: asyncio.run(main()) once")


@pytest.mark.parametrize("library", ["httpx", "httpx2", "aiohttp"])
def test_other_failures_are_not_a_second_loop(library: str, server: Any, telemetry: Any) -> None:
    """The application's request body raises a RuntimeError, in the connection's loop."""

    async def program() -> None:
        client = Client(library)
        await client.open()
        await client.first(server.url())

        async def body() -> Any:
            yield b"x"
            raise RuntimeError

        post: Any = client._client.post
        argument = "data" if library == "aiohttp" else "content"
        with contextlib.suppress(Exception):
            await post(server.url(), **{argument: body()})
        await client.first(server.url())

    asyncio.run(program())
    assert telemetry.by(semconv.ANOMALIES, "anomaly") == {}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_abandoned_request_of_a_closed_loop_is_not_a_second_loop(
    library: str, server: Any, telemetry: Any
) -> None:
    """The garbage collector closes its coroutine while another loop runs."""
    loop = asyncio.new_event_loop()
    client = Client(library)
    loop.run_until_complete(client.open())
    gate = server.gate()
    url = server.reply("/stalled", Reply(head_after=gate))

    async def abandon() -> None:
        loop.stalled = asyncio.ensure_future(client.first(url))  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        while not snapshot().pools or not snapshot().pools[0].requests:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(server.timeline.wait_for, "request", "/stalled")

    loop.run_until_complete(abandon())
    loop.close()

    async def collect() -> None:
        coroutine = loop.stalled.get_coro()  # type: ignore[attr-defined]
        with contextlib.suppress(RuntimeError):
            coroutine.close()
        gc.collect()

    asyncio.run(collect())
    gate.open()
    assert telemetry.by(semconv.ANOMALIES, "anomaly") == {}

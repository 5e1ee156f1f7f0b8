"""Signal handlers that raise in async requests, any-llm calls and uninstrument()."""

import asyncio
import contextlib
import importlib
import threading
from typing import Any

import aiohttp
import any_llm
import httpcore
import pytest
import urllib3

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.patching import PatchSet, _subclasses, is_patched
from studies.causes import causes
from support.installation import installed, instrument
from support.script import Reply
from support.telemetry import Telemetry

from .interruption import assert_reached, everywhere, raising, reached
from .test_requests import CtrlCError, TimeIsUpError, everywhere_in_our_code

pytestmark = [
    everywhere_in_our_code,
    # A coroutine of the library that is dropped half-way can be interrupted as it ends.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PATCHED = (
    (httpcore.ConnectionPool, "handle_request"),
    (httpcore.AsyncConnectionPool, "handle_async_request"),
    (aiohttp.BaseConnector, "connect"),
    (urllib3.HTTPConnectionPool, "urlopen"),
    (any_llm.AnyLLM, "acompletion"),
)
LOST_BY_THE_LIBRARY = ("async_close.<locals>.aclose begins", "async_close.<locals>.close begins")
"""Points before a method of the library begins, where the connection would also be lost without the
instrumentation."""


class AsyncRequesting:
    """One pool with a single connection, and a way to send a request through it."""

    def __init__(self, library: str, url: str) -> None:
        self.url = url
        self.session: Any = None
        if library == "aiohttp":
            self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1))
        else:
            self.core: Any = importlib.import_module(library).AsyncConnectionPool(max_connections=1)
        self.close = self.session.close if self.session else self.core.aclose

    async def stream(self) -> None:
        """A whole request, read chunk by chunk and closed."""
        if self.session:
            async with self.session.get(self.url) as response:
                async for _ in response.content.iter_chunked(1):
                    pass
        else:
            async with self.core.stream("GET", self.url) as response:
                async for _ in response.aiter_stream():
                    pass

    def held(self) -> int:
        """Requests that the library itself keeps a connection for."""
        return len(self.session.connector._acquired if self.session else self.core._requests)

    def cut_off(self) -> bool:
        """Whether httpcore itself was interrupted while it assigned a new connection.

        It never frees a connection that no request has begun to connect, with or without the
        instrumentation.
        """
        connections = () if self.session else self.core._connections
        return any(connection._connection is None for connection in connections)


def leases() -> int:
    """Requests that the instrumentation counts as in flight."""
    registry = installed().registry
    assert not registry.failures.counts
    return sum(len(tracker.leases) for tracker in registry.trackers.values())


@pytest.mark.parametrize("library", ["httpcore2", "aiohttp"])
@pytest.mark.parametrize(
    ("first", "error"), [(True, TimeIsUpError), (False, TimeIsUpError), (False, CtrlCError)]
)
def test_signal_handlers_exception_in_an_async_request_loses_no_connection(
    first, error, library, server, telemetry, caplog
):
    """The next request gets the pool's only connection.

    The exception reaches the program; in callbacks of the loop it reaches the loop, and in
    callbacks of aiohttp the log.
    """
    url = server.reply("/", Reply(chunks=((0, b"o"), (0, b"k"))))
    reported: list[BaseException | None] = []

    async def request(interruption: Any) -> BaseException | None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: reported.append(context.get("exception"))
        )
        pool = AsyncRequesting(library, url)
        if not first:
            await pool.stream()
        raised = None
        try:
            with interruption:
                await pool.stream()
        except BaseException as met:
            raised = met
        if not interruption.place.endswith(LOST_BY_THE_LIBRARY):
            assert not pool.held(), interruption.place
            assert not leases(), interruption.place
            if not pool.cut_off():
                try:
                    await asyncio.wait_for(pool.stream(), 60)
                except TimeoutError:
                    raise AssertionError(f"lost its connection: {interruption.place}") from None
        await pool.close()
        return raised

    for interruption in everywhere(raising(error), least=100 if first else 30):
        reported.clear()
        caplog.clear()
        raised = asyncio.run(request(interruption))
        logged = [record.exc_info[1] for record in caplog.records if record.exc_info]
        every = (cause for one in (raised, *reported, *logged) for cause in causes(one))
        met = any(isinstance(cause, error) for cause in every)
        assert met == bool(interruption.place), f"swallowed: {interruption.place}"


@pytest.mark.parametrize("error", [TimeIsUpError, CtrlCError])
def test_uninstrument_can_be_repeated_after_a_signal_handler_raises(error):
    """The exception reaches the program, and a second uninstrument() removes everything.

    Every 97th point is interrupted.
    """
    telemetry = Telemetry()
    for interruption in everywhere(raising(error), step=97):
        instrument(telemetry)
        assert_reached(interruption, error, lambda: GlueLLMInstrumentor().uninstrument())
        GlueLLMInstrumentor().uninstrument()
        assert_off(interruption.place)
    telemetry.shutdown()


@pytest.mark.parametrize("error", [TimeIsUpError, CtrlCError])
def test_instrument_interrupted_by_a_signal_handler_installs_nothing(error):
    """An interrupted instrument() that raises leaves nothing installed.

    Code that runs during the installation handles exceptions like any other code: a probe that
    raises counts as a missing hook. Ctrl-C always reaches the program. Every 1009th point is
    interrupted.
    """
    telemetry = Telemetry()
    for interruption in everywhere(raising(error), step=1009):
        met = reached(interruption, error, lambda: instrument(telemetry))
        if error is CtrlCError:
            assert met == bool(interruption.place), f"swallowed: {interruption.place}"
        if not met:
            GlueLLMInstrumentor().uninstrument()
        assert_off(interruption.place)
    telemetry.shutdown()


def test_interrupted_patch_can_be_undone():
    for interruption in everywhere(raising(TimeIsUpError), least=10):

        class Owner:
            def method(self) -> None:
                pass

        original, patches = vars(Owner)["method"], PatchSet()
        with contextlib.suppress(TimeIsUpError), interruption:
            patches.wrap(Owner, "method", lambda _: lambda _self: None)
        patches.undo()
        assert vars(Owner)["method"] is original, interruption.place


def assert_off(place: str) -> None:
    """Assert that the libraries' own methods are restored and no thread of the package runs."""
    assert GlueLLMInstrumentor._installation is None, place
    left = [f"{owner.__name__}.{name}" for owner, name in PATCHED if is_patched(vars(owner)[name])]
    left += [
        f"{provider.__name__}.{name}"
        for provider in (any_llm.AnyLLM, *_subclasses(any_llm.AnyLLM))
        for name, attribute in vars(provider).items()
        if is_patched(attribute)
    ]
    assert not left, place
    for thread in threading.enumerate():
        if thread.name.startswith("gluellm"):
            with contextlib.suppress(RuntimeError):
                thread.join(60)
            assert not thread.is_alive(), (thread.name, place)

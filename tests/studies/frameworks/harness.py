"""A framework's case, the server that it calls, and the measurement of one run."""

import asyncio
import contextlib
import gc
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gluellm_pools.fake_provider import FakeProviderThread
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.telemetry import Telemetry

QUESTION = "hi"
MESSAGES = [{"role": "user", "content": QUESTION}]
AT_ONCE = 5
"""Concurrent calls of each asynchronous part."""

Pool = tuple[str, str | None]
"""A pool's name and the provider of its requests."""


Served = tuple[int, Callable[[], int]]
"""The port of a running server, and a function that counts the requests that it has received."""


@dataclass(frozen=True, slots=True)
class Case:
    """One framework. ``run`` calls the server at a port and returns what has to stay the same."""

    framework: str
    run: Callable[[int], Any]
    expected: str
    """Its pools, each as a name, a colon and the provider, if requests have one."""
    replies: Mapping[tuple[str, str], object] = field(default_factory=dict)
    """Answers of the fake provider to further endpoints."""
    environment: str = "frameworks"
    """Folder below .venvs."""
    package: str = ""
    """Its distribution, if the name differs."""
    server: Callable[[], contextlib.AbstractContextManager[Served]] | None = None
    """Starts a server in place of the fake provider."""

    @property
    def pools(self) -> list[Pool]:
        """The pools that its requests have to be reported for."""
        pairs = (pool.split(":") for pool in self.expected.split())
        return sorted(((name, provider or None) for name, provider in pairs), key=str)

    def serve(self) -> contextlib.AbstractContextManager[Served]:
        """Start the server that the framework calls."""
        return self.server() if self.server is not None else _fake_provider(self.replies)


@contextlib.contextmanager
def _fake_provider(replies: Mapping[tuple[str, str], object]) -> Iterator[Served]:
    with FakeProviderThread(replies=dict(replies)) as provider:
        yield provider.port, lambda: provider.counts.requests


def at_once(
    call: Callable[[], Awaitable[Any]], close: Callable[[], Awaitable[Any]] | None = None
) -> list[Any]:
    """The results of concurrent calls, after which their client is closed."""

    async def ask() -> list[Any]:
        found = await asyncio.gather(*(call() for _ in range(AT_ONCE)))
        if close is not None:
            await close()
        return found

    return asyncio.run(ask())


def openai_url(port: int) -> str:
    """Base URL with OpenAI's real host, which `stay_on_loopback` resolves to the fake provider."""
    return f"http://api.openai.com:{port}/v1"


def anthropic_url(port: int) -> str:
    """Base URL with Anthropic's real host; see `openai_url`."""
    return f"http://api.anthropic.com:{port}"


def stay_on_loopback() -> None:
    """Resolve every host to 127.0.0.1.

    Requests keep the provider's real host, and a framework's own telemetry cannot leave the
    machine: such a request fails on the loopback address and appears as a wrong count.
    """
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **named: Any) -> Any:
        return resolve("127.0.0.1", *arguments, **named)

    socket.getaddrinfo = getaddrinfo


def measure(case: Case, port: int, *, instrumented: bool) -> dict[str, Any]:
    """Run a case in this process. Return its result and, if instrumented, what was reported."""
    if not instrumented:
        return {"result": case.run(port)}
    telemetry = Telemetry()
    GlueLLMInstrumentor().instrument(scope="all", meter_provider=telemetry.meter_provider)
    result = case.run(port)
    gc.collect()
    requests = telemetry.by(semconv.REQUESTS, "name", "provider")
    return {
        "result": result,
        "requests": sum(requests.values()),
        "pools": sorted(requests, key=str),
        "in flight": telemetry.value(semconv.ACTIVE_REQUESTS),
        "own errors": telemetry.value(semconv.INSTRUMENTATION_ERRORS),
        "dropped": telemetry.value(semconv.INSTRUMENTATION_DROPPED),
    }

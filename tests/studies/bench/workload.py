"""The measured work: requests of a library's client, with or without an instrumentation.

A real client sends a chat completion through its real pool over a scripted network. The program has
a current span, as traced programs do, so that the cost of exemplars is included.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.pool.call import Call
from support.telemetry import points_of

from . import internals

if TYPE_CHECKING:
    from .clients.base import Client

OFF, YARDSTICK, OURS, DIRECT = "off", "yardstick", "gluellm", "gluellm, direct"
"""What is turned on. With ``OURS`` each request belongs to an any-llm call of its own. ``DIRECT``
requests do not, so the line that made them is looked for."""


@dataclass(frozen=True, slots=True)
class Combination:
    """A client library and a kind of client."""

    library: str
    """As in ``gluellm.pool.library``."""
    mode: str
    """``async`` or ``sync``."""

    def __str__(self) -> str:
        return f"{self.library} {self.mode}"


FAMILIES: Final = {
    "httpx": tuple(
        Combination(library, mode) for mode in ("async", "sync") for library in ("httpx2", "httpx")
    ),
    "aiohttp": (Combination("aiohttp", "async"),),
    "urllib3": (Combination("urllib3", "sync"),),
    "grpc": (Combination("grpc", "async"),),
}
"""Measured combinations by family. A family shares a yardstick and a block of the table."""

SDKS: Final = tuple(Combination(sdk, "async") for sdk in ("openai", "any-llm"))
"""Whole calls of openai's SDK, and of any-llm with its provider class for openai."""

YARDSTICKS: Final = {
    "httpx": ("httpx", "HTTPXClientInstrumentor"),
    "httpx2": ("httpx", "HTTPX2ClientInstrumentor"),
    "aiohttp": ("aiohttp_client", "AioHttpClientInstrumentor"),
    "urllib3": ("urllib3", "URLLib3Instrumentor"),
    "grpc": ("grpc", "GrpcAioInstrumentorClient"),
}
YARDSTICKS.update((sdk.library, YARDSTICKS["httpx2"]) for sdk in SDKS)
"""Package and class of the contrib instrumentation that is a library's yardstick."""


def combination_named(name: str) -> Combination:
    """The combination whose ``str`` this is."""
    (found,) = (each for some in (*FAMILIES.values(), SDKS) for each in some if str(each) == name)
    return found


class Sdk:
    """Providers with an in-memory reader, and no exporter."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])
        self.tracers = TracerProvider()

    def span(self) -> AbstractContextManager[Any]:
        """A current span, sampled."""
        return self.tracers.get_tracer("program").start_as_current_span("answer a user")

    def points(self) -> Iterator[tuple[str, Any]]:
        """The points of a collection made now, each with its metric's name."""
        for name, points in points_of(self.reader.get_metrics_data()).items():
            for point in points:
                yield name, point


def observed(what: str = OURS) -> Sdk:
    """Instrument httpx, and return the providers that the instrumentation reports to."""
    sdk = Sdk()
    Instrumentation("httpx", sdk).turn(what)
    return sdk


def milliseconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """The CPU time of this thread that some work takes, and its result."""
    began = time.thread_time_ns()
    found = work()
    return (time.thread_time_ns() - began) / 1e6, found


def series_of(point: Any) -> int:
    """Series that Prometheus stores of a point: each bucket, ``+Inf`` included, sum and count."""
    bounds = getattr(point, "explicit_bounds", None)
    return 1 if bounds is None else len(bounds) + 3


class Instrumentation:
    """Turns on nothing, the yardstick or the package; at most one at a time."""

    def __init__(self, library: str, sdk: Sdk | None) -> None:
        self._library = library
        self._providers: dict[str, Any] = {}
        if sdk is not None:
            self._providers = {"tracer_provider": sdk.tracers, "meter_provider": sdk.meters}
        self._current: Any = None

    def turn(self, what: str) -> None:
        """Turn off the current instrumentation, then turn on ``what``.

        Build clients afterwards: some yardsticks instrument a client while it is built.
        """
        if self._current is not None:
            self._current.uninstrument()
            self._current = None
        if what == YARDSTICK:
            package, name = YARDSTICKS[self._library]
            module = importlib.import_module(f"opentelemetry.instrumentation.{package}")
            self._current = getattr(module, name)()
        elif what in (OURS, DIRECT):
            self._current = GlueLLMInstrumentor()
        scope = {"scope": "all"} if what == DIRECT else {}
        if self._current is not None:
            self._current.instrument(**self._providers, **scope)
        if what in (OURS, DIRECT):
            internals.leave_out_the_first_minute()


def any_llm_call() -> Call:
    """What any-llm's wrapped methods put into the context for each call."""
    return Call("openai", "gpt-5", "chat")


def client(combination: Combination, *, streaming: bool = False) -> Client:
    """A client on a scripted network; ``streaming``: one whose answers come in CHUNKS chunks."""
    library = "sdk" if combination in SDKS else combination.library.replace("httpx2", "httpx")
    # Imported here: a process measures one library, and has no other loaded.
    module = importlib.import_module(f"{__package__}.clients.{library}_client")
    made = getattr(module, f"{combination.mode.capitalize()}Client")
    found: Client = made(combination.library, streaming=streaming)
    return found


def run(library: str, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run on a new event loop, which sync clients ignore."""
    factory: Any = None
    if library == "aiohttp":
        from .clients.aiohttp_client import ScriptedLoop

        factory = ScriptedLoop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())

"""A framework's case, the server that it calls, and the measurement of one run."""

import asyncio
import contextlib
import gc
import json
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

from gluellm_diagnosis.findings import Severity
from gluellm_pools.fake_provider import Behaviour, FakeProviderThread
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, diagnose, snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.thresholds import calls_fail
from support.telemetry import Telemetry
from support.waiting import wait_until

QUESTION = "hi"
MESSAGES = [{"role": "user", "content": QUESTION}]
AT_ONCE = 5
"""Concurrent calls of each asynchronous part."""
OWN_HOSTS = {"vllm.corp.example": "vllm", "ollama.corp.example": "ollama"}
"""The setting ``hosts``."""

Served = tuple[int, Callable[[], int]]
"""The port of a running server, and a function that counts the requests that it has received."""
Look = Callable[[], bool]
"""Called when the server has received a request, before it answers. Returns whether the answer has
to stall, since the client holds it."""


@dataclass(frozen=True, slots=True)
class Case:
    """One framework. ``run`` calls the server at a port and returns what has to stay the same."""

    framework: str
    run: Callable[[int], Any]
    expected: str = ""
    """Its calls: each as a source and a provider, with a colon between. Empty: it makes none."""
    replies: Mapping[tuple[str, str], object] = field(default_factory=dict)
    """Answers of the fake provider to further endpoints."""
    environment: str = "frameworks"
    """Folder below .venvs."""
    package: str = ""
    """Its distribution, if the name differs."""
    server: Callable[[], contextlib.AbstractContextManager[Served]] | None = None
    """Starts a server in place of the fake provider."""
    held: Callable[[int], Any] | None = None
    """Begins a streamed call, and returns its stream without reading it to its end."""
    before: Callable[[], object] | None = None
    """Called before the instrumentation is installed."""
    others: int = 0
    """Number of its requests that are no calls: attempts of an SDK's retries, for example."""
    scope: str = "llm"
    observed: bool = True
    """Whether its requests are in scope."""
    every_refused: int = 0
    """Each so many-th request is answered with status 429; 0 for none."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Limits that its pools have to have, by the key in what is measured."""

    def serve(self, look: Look) -> contextlib.AbstractContextManager[Served]:
        """Start the server that the framework calls."""
        return self.server() if self.server is not None else self._fake_provider(look)

    @contextlib.contextmanager
    def _fake_provider(self, look: Look) -> Iterator[Served]:
        def behaviour(_: object) -> Behaviour:
            held = look()
            refused = self.every_refused and not provider.counts.requests % self.every_refused
            return Behaviour(status=429 if refused else 200, stall_after=3 if held else None)

        with FakeProviderThread(replies=dict(self.replies), behaviour=behaviour) as provider:
            yield provider.port, lambda: provider.counts.requests


def at_once(
    call: Callable[[], Awaitable[Any]], close: Callable[[], Awaitable[Any]] | None = None
) -> list[Any]:
    """The results of concurrent calls, after which their client is closed.

    Each call has a task with a line of this file, as that of an application has.
    """

    async def one() -> Any:
        return await call()

    async def ask() -> list[Any]:
        found = await asyncio.gather(*(one() for _ in range(AT_ONCE)))
        if close is not None:
            await close()
        return found

    return asyncio.run(ask())


def begun(stream: Iterable[Any]) -> Any:
    """Read the first item of a stream, and return the stream."""
    next(iter(stream))
    return stream


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


class Seen:
    """What snapshots showed of requests in flight. One is taken for each line of ``asked``."""

    WHAT = ("pool", "library", "connections", "pool timeout", "read timeout", "line")

    def __init__(self, asked: Iterable[str], answers: TextIO) -> None:
        self.requests: set[tuple[Any, ...]] = set()
        self.holding = False
        self._asked, self._answers = asked, answers
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        for _ in self._asked:
            for pool in snapshot().pools:
                limits = pool.max_connections, pool.pool_timeout, pool.read_timeout
                self.requests |= {
                    (pool.name, pool.library, *limits, _whose(request.call_site))
                    for request in pool.requests
                }
            print(
                json.dumps({"event": "looked", "held": self.holding}),
                file=self._answers,
                flush=True,
            )

    def all(self) -> dict[str, list[Any]]:
        """The distinct values of each, in a fixed order."""
        return {
            what: sorted({request[column] for request in self.requests}, key=str)
            for column, what in enumerate(self.WHAT)
        }


def _whose(line: str | None) -> str:
    if line is None:
        return "none"
    return "the framework's" if "site-packages" in line else "yours"


def run(case: Case, port: int, *, instrumented: bool) -> None:
    """Run a case in this process. Print its result and, if instrumented, what was reported."""
    # A framework may read standard input or print.
    asked, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    stay_on_loopback()
    if case.before is not None:
        case.before()
    measured = _measure(case, port, asked, answers) if instrumented else {"result": case.run(port)}
    print(json.dumps({"event": "done", **measured}), file=answers, flush=True)


def _measure(case: Case, port: int, asked: TextIO, answers: TextIO) -> dict[str, Any]:
    telemetry = Telemetry()
    GlueLLMInstrumentor().instrument(
        scope=case.scope,
        meter_provider=telemetry.meter_provider,
        hosts=OWN_HOSTS,
        model_attributes=True,
        leak_threshold=2,
        span_min_duration=60,
    )
    seen = Seen(asked, answers)
    result = case.run(port)
    gc.collect()
    reading = telemetry.now()
    calls = reading.by(semconv.CALLS, "source", "provider", "outcome")
    models = {
        p.attributes.get(semconv.REQUEST_MODEL) for p in reading.points(semconv.CALL_DURATION)
    }
    state = snapshot()
    measured = {
        "result": result,
        "requests": sum(reading.by(semconv.REQUESTS, "name").values()),
        "calls": sorted({f"{source}:{provider}" for source, provider, _ in calls}),
        "outcomes": {
            outcome: sum(n for key, n in calls.items() if key[2] == outcome)
            for *_, outcome in calls
        },
        "stages": sorted(reading.by(semconv.CALL_TIME, "stage")),
        "models": sorted(filter(None, models)),
        **seen.all(),
        "errors found": [f.observed for f in diagnose(state) if f.severity is Severity.ERROR],
        "pages": [
            calls.source
            for calls in state.process.calls
            if calls_fail(calls.outcomes["failed"], calls.outcomes["succeeded"], calls.source)
        ],
        "in flight": reading.value(semconv.ACTIVE_REQUESTS),
        "own errors": reading.value(semconv.INSTRUMENTATION_ERRORS),
        "dropped": reading.value(semconv.INSTRUMENTATION_DROPPED),
    }
    if case.held is not None:
        seen.holding = True
        stream = case.held(port)
        wait_until(lambda: telemetry.value(semconv.LEAK_SUSPECTED), "the leak is reported")
        suspected = (r for pool in snapshot().pools for r in pool.requests if r.leak_suspected)
        measured["leak"] = sorted(_whose(request.call_site) for request in suspected)
        del stream
    return measured

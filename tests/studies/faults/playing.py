"""Plays one fault: a program with telemetry and one without, side by side, and a Collector."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self, TypeVar

from e2e.programs import STORES, Stack
from e2e.stores import increase
from opentelemetry.instrumentation.gluellm.cli.fake_provider import Behaviour, FakeProviderThread
from support.waiting import wait_until

from .application import NO_TELEMETRY, TIMEOUT, Application, exporting
from .slow_network import SlowNetwork

T = TypeVar("T")

IN_VAIN = 3
"""Exports that fail before the fault ends."""
AFTERWARDS = 3
"""Exports that succeed before the program is told to end."""
PATIENCE = 40.0
"""Seconds."""
_BETWEEN_LOOKS = 0.1
_CONFIGURATION = Path(__file__).with_name("configuration")
_DELAY = 0.2
"""Seconds by which the slow network delays: an export takes longer than its interval, and ends."""
_SLOW_TIMEOUT = 5.0
NOISE = 0.005
"""Seconds that a program without telemetry waits for no thread of its own on a quiet machine."""
_TRIES = 3


class Fault(StrEnum):
    """What happens to the Collector, in words for people."""

    DOWN = "down at start"
    KILLED = "killed, restarted"
    STOPPED = "hangs"
    SLOW = "slow"
    FULL = "refuses, out of memory"
    TINY_REQUESTS = "refuses, too large"


FAULTS = {
    "grpc": tuple(fault for fault in Fault if fault != Fault.TINY_REQUESTS),
    "http/protobuf": tuple(Fault),
}
"""By protocol. gRPC's limit is a whole number of MiB, and a request of one pool has 20 kB."""

_OVERLAYS = {Fault.FULL: "full.yaml", Fault.TINY_REQUESTS: "tiny_requests.yaml"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What came of a run. Seconds, bytes."""

    fault: Fault
    protocol: str
    answered: int
    """Calls that the program made, each one request."""
    errors: list[str]
    """Exceptions that reached the program, its loop, its threads or its finalizers."""
    exports: int
    failed_exports: int
    with_telemetry: dict[str, float]
    """Of `Lateness.take`, from the fault's begin to the last export after it."""
    without: dict[str, float]
    """The same of the program without telemetry, which ran at the same time."""
    growth: int
    """Of resident memory while the Collector was at fault."""
    growth_without: int
    stored: dict[str, float]
    """Requests of this program that a store has in the end."""
    increases: dict[str, float]
    """By how much the stored counters rose in all, resets taken as such."""


class Stage:
    """What runs while faults are played: the stores, a provider, a program without telemetry."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.folder = folder
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as closing:
            closing.callback(self.stack.stop)
            self.stack.start()
            answers = Behaviour(head_delay=0.05, jitter=0.05, tokens=5)
            provider = closing.enter_context(FakeProviderThread(behaviour=answers))
            self.provider_url = provider.openai_url
            log = self.folder / "without.log"
            self.without = Application(self.provider_url, NO_TELEMETRY, log, {})
            closing.callback(self.without.kill)
            self.without.ask("figures")
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()


def play(fault: Fault, protocol: str, stage: Stage) -> Figures:
    """Play a fault, again when the machine made even the program without telemetry wait."""
    for number in range(_TRIES):
        figures = Play(fault, protocol, stage, number).run()
        if figures.without["waited"] < NOISE:
            break
    return figures


class Play:
    """One run."""

    def __init__(self, fault: Fault, protocol: str, stage: Stage, number: int) -> None:
        self._fault, self._protocol, self._stage = fault, protocol, stage
        self._collector = stage.stack.collector
        self._instance = f"{fault.name.lower()}-{protocol.partition('/')[0]}-{number}"
        self._network: SlowNetwork | None = None
        self._application: Application

    def run(self) -> Figures:
        """Play it to its end. Raises AssertionError when a step takes too long."""
        without = self._stage.without
        with ExitStack() as stack:
            self._prepare(stack)
            self._start(stack)
            self._wait("exports", 1)
            before = self._application.ask("begin"), without.ask("begin")
            with self._at_fault():
                what = "exports" if self._fault == Fault.SLOW else "failed_exports"
                at_its_end = self._wait(what, IN_VAIN), without.ask("figures")
            self._wait("good_exports", AFTERWARDS)
            after = self._application.ask("quiet"), without.ask("figures")
            last = self._application.ask("flush")
            stored = self._stored(last["answered"])
            self._application.stop()
        return Figures(
            fault=self._fault,
            protocol=self._protocol,
            answered=last["answered"],
            errors=[*last["errors"], *after[1]["errors"]],
            exports=last["exports"],
            failed_exports=last["failed_exports"],
            with_telemetry=_lateness(after[0]),
            without=_lateness(after[1]),
            growth=at_its_end[0]["resident"] - before[0]["resident"],
            growth_without=at_its_end[1]["resident"] - before[1]["resident"],
            stored=stored,
            increases={name: self._increase(name) for name in STORES},
        )

    def _prepare(self, stack: ExitStack) -> None:
        collector = self._collector
        collector.stop()
        overlay = _OVERLAYS.get(self._fault)
        if overlay is not None:
            collector.overlays.append(_CONFIGURATION / overlay)
            stack.callback(self._without_overlay)
        if self._fault != Fault.DOWN:
            collector.start()
        if self._fault == Fault.SLOW:
            port = collector.ports["grpc" if self._protocol == "grpc" else "http"]
            self._network = stack.enter_context(SlowNetwork(port))

    def _start(self, stack: ExitStack) -> None:
        # Slow is not too slow: these exports succeed.
        timeout = _SLOW_TIMEOUT if self._fault == Fault.SLOW else TIMEOUT
        variables = exporting(self._endpoint(), self._instance, timeout)
        log = self._stage.folder / f"{self._instance}.log"
        self._application = Application(self._stage.provider_url, self._protocol, log, variables)
        stack.callback(self._application.kill)

    def _endpoint(self) -> str:
        if self._network is not None:
            return f"http://127.0.0.1:{self._network.port}"
        collector = self._collector
        return collector.grpc_endpoint if self._protocol == "grpc" else collector.http_endpoint

    @contextmanager
    def _at_fault(self) -> Iterator[None]:
        collector = self._collector
        match self._fault:
            case Fault.DOWN:
                yield
                collector.start()
            case Fault.KILLED:
                collector.kill()
                yield
                collector.start()
            case Fault.STOPPED:
                os.kill(collector.pid, signal.SIGSTOP)
                try:
                    yield
                finally:
                    os.kill(collector.pid, signal.SIGCONT)
            case Fault.SLOW:
                assert self._network is not None
                self._network.delay = _DELAY
                yield
                self._network.delay = 0.0
            case Fault.FULL | Fault.TINY_REQUESTS:
                yield
                collector.stop()
                self._without_overlay()
                collector.start()

    def _without_overlay(self) -> None:
        overlay = _CONFIGURATION / _OVERLAYS[self._fault]
        if overlay in self._collector.overlays:
            self._collector.overlays.remove(overlay)

    def _wait(self, what: str, more: int) -> dict[str, Any]:
        """The figures once one of them has risen by so much."""
        at_least = self._application.ask("figures")[what] + more

        def figures() -> dict[str, Any] | None:
            found = self._application.ask("figures")
            return found if found[what] >= at_least else None

        return _patiently(figures, f"{what} {at_least}")

    def _stored(self, answered: int) -> dict[str, float]:
        selector = requests_of(self._instance)

        def now() -> dict[str, float]:
            stores = {name: getattr(self._stage.stack, name) for name in STORES}
            return {
                name: sum(row["value"][1] for row in store.query(selector))
                for name, store in stores.items()
            }

        with contextlib.suppress(AssertionError):  # what is there then is a figure as well
            _patiently(lambda: set(now().values()) == {answered}, "all is stored")
        return now()

    def _increase(self, store: str) -> float:
        selector = requests_of(self._instance)
        return sum(
            increase([value for _, value in row["values"]])
            for row in getattr(self._stage.stack, store).samples(selector)
        )


def requests_of(instance: str) -> str:
    """Selects the requests that an instance has counted, in any store."""
    return f'gluellm_pool_requests_total{{service_instance_id="{instance}"}}'


def _lateness(figures: dict[str, Any]) -> dict[str, float]:
    return {name: figures[name] for name in ("late", "stalled", "waited")}


def _patiently(condition: Callable[[], T], what: str) -> T:
    def slowly() -> T:
        # Each look asks other processes, which have the same two processors.
        time.sleep(_BETWEEN_LOOKS)
        return condition()

    return wait_until(slowly, what, PATIENCE)

"""Plays one fault: a program with telemetry and one without, side by side, and a Collector."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from e2e.processes import environment
from e2e.programs import STORES, Stack
from gluellm_pools.fake_provider import Behaviour, FakeProviderThread
from studies.talking import TalkingProcess
from support.waiting import wait_until

INTERVAL = 0.2
"""Seconds between two exports."""
TIMEOUT = 0.5
"""Seconds after which an export is given up. The SDK's default is 10."""
IN_VAIN = 3
"""Exports that fail before the fault ends."""
AFTERWARDS = 3
"""Exports that succeed before the program ends."""
PATIENCE = 40.0
"""Seconds."""
NOISE = 0.005
"""Seconds that a program without telemetry waits for no thread of its own on a quiet machine."""
_ENDS_WITHIN = 60.0
_BETWEEN_LOOKS = 0.1
_CONFIGURATION = Path(__file__).with_name("configuration")
_TRIES = 3


def _increase(values: list[float]) -> float:
    """By how much a counter rose that was born at 0; where it falls, it began anew."""
    before = [0.0, *values[:-1]]
    return sum(v - b if v >= b else v for b, v in zip(before, values, strict=True))


class Fault(StrEnum):
    """What happens to the Collector, in words for people."""

    DOWN = "down at start"
    KILLED = "killed, restarted"
    STOPPED = "hangs"
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
    last: dict[str, Any]
    """The program's own figures once all is over: see ``calling.py``."""
    errors: list[str]
    """Exceptions that reached the program, its loop, its threads or its finalizers."""
    with_telemetry: dict[str, float]
    """Of `Lateness`, from the fault's begin to the last export after it."""
    without: dict[str, float]
    """The same of the program without telemetry, which ran at the same time."""
    growth: tuple[int, int]
    """Of resident memory while the Collector was at fault, with telemetry and without."""
    increases: dict[str, float]
    """By how much the stored counters rose in all, resets taken as such."""


class Application(TalkingProcess):
    """A running ``calling.py``, which exports often unless the protocol is ``none``."""

    def __init__(self, stage: Stage, protocol: str, endpoint: str, instance: str) -> None:
        more = {
            "OTEL_EXPORTER_OTLP_TIMEOUT": str(TIMEOUT),
            "OTEL_BSP_SCHEDULE_DELAY": f"{INTERVAL * 1000:.0f}",
        }
        variables = environment(endpoint, "calling", instance, INTERVAL, **more)
        log = stage.folder / f"{instance}.log"
        arguments = ["studies.faults.calling", stage.provider_url, protocol]
        super().__init__(arguments, log, variables, new_session=True)

    def ask(self, command: str) -> dict[str, Any]:
        """Give a command and wait for its figures."""
        self.tell(command)
        return self.expect("figures")


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
            self.without = Application(self, "none", "", "without")
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
        self._selector = f'gluellm_pool_requests_total{{service_instance_id="{self._instance}"}}'
        self._stores = {name: getattr(stage.stack, name) for name in STORES}
        self._application: Application

    def run(self) -> Figures:
        """Play it to its end. Raises AssertionError when a step takes too long."""
        without = self._stage.without
        with ExitStack() as stack:
            self._start(stack)
            self._wait("exports", 1)
            before = self._application.ask("begin"), without.ask("begin")
            with self._at_fault():
                at_its_end = self._wait("failed_exports", IN_VAIN), without.ask("figures")
            self._wait("good_exports", AFTERWARDS)
            after = self._application.ask("quiet"), without.ask("figures")
            last = self._application.ask("flush")
            self._wait_until_stored(last["answered"])
            process = self._application.process
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(_ENDS_WITHIN) == 0, self._application.log_tail()
        ours, its = (at_its_end[n]["resident"] - before[n]["resident"] for n in (0, 1))
        lateness = [{name: each[name] for name in ("late", "stalled", "waited")} for each in after]
        return Figures(
            fault=self._fault,
            protocol=self._protocol,
            last=last,
            errors=[*last["errors"], *after[1]["errors"]],
            with_telemetry=lateness[0],
            without=lateness[1],
            growth=(ours, its),
            increases={
                name: sum(
                    _increase([value for _, value in row["values"]])
                    for row in store.samples(self._selector)
                )
                for name, store in self._stores.items()
            },
        )

    def _start(self, stack: ExitStack) -> None:
        self._collector.stop()
        if overlay := _OVERLAYS.get(self._fault):
            self._collector.overlays.append(_CONFIGURATION / overlay)
            stack.callback(self._without_overlay)
        if self._fault != Fault.DOWN:
            self._collector.start()
        is_grpc = self._protocol == "grpc"
        endpoint = self._collector.grpc_endpoint if is_grpc else self._collector.http_endpoint
        self._application = Application(self._stage, self._protocol, endpoint, self._instance)
        stack.callback(self._application.kill)

    @contextmanager
    def _at_fault(self) -> Iterator[None]:
        collector = self._collector
        match self._fault:
            case Fault.STOPPED:
                os.kill(collector.pid, signal.SIGSTOP)
                try:
                    yield
                finally:
                    os.kill(collector.pid, signal.SIGCONT)
            case fault:
                if fault == Fault.KILLED:
                    collector.kill()
                yield
                if fault in _OVERLAYS:
                    collector.stop()
                    self._without_overlay()
                collector.start()

    def _without_overlay(self) -> None:
        overlay = _CONFIGURATION / _OVERLAYS[self._fault]
        if overlay in self._collector.overlays:
            self._collector.overlays.remove(overlay)

    def _wait(self, what: str, more: int) -> dict[str, Any]:
        """The figures once one of them has risen by so much."""
        found = self._application.ask("figures")
        at_least = found[what] + more

        def risen() -> bool:
            nonlocal found
            time.sleep(_BETWEEN_LOOKS)
            found = self._application.ask("figures")
            return bool(found[what] >= at_least)

        wait_until(risen, f"{what} {at_least}", PATIENCE)
        return found

    def _wait_until_stored(self, answered: int) -> None:
        def stored() -> bool:
            # Each look asks other processes, which have the same two processors.
            time.sleep(_BETWEEN_LOOKS)
            found = [store.query(self._selector) for store in self._stores.values()]
            return all(sum(row["value"][1] for row in rows) == answered for rows in found)

        with contextlib.suppress(AssertionError):  # what is there then is a figure as well
            wait_until(stored, "all is stored", PATIENCE)

"""Plays one fault of a Collector to which a program exports."""

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
_ENDS_WITHIN = 60.0
_BETWEEN_LOOKS = 0.1
_FULL = Path(__file__).with_name("full.yaml")


def _increase(values: list[float]) -> float:
    """By how much a counter rose that was born at 0; where it falls, it began anew."""
    before = [0.0, *values[:-1]]
    return sum(v - b if v >= b else v for b, v in zip(before, values, strict=True))


class Fault(StrEnum):
    """What happens to the Collector, in words for people."""

    KILLED = "killed, restarted"
    STOPPED = "hangs"
    FULL = "refuses, out of memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What came of a run."""

    last: dict[str, Any]
    """The program's own figures at the end: see ``calling.py``."""
    increases: dict[str, float]
    """By store, the increase of the request counter, resets taken as such."""


def harm(figures: Figures) -> list[str]:
    """Return what must not happen, in words: a failure, a miscount."""
    last = figures.last
    failed, good = last["failed_exports"], last["good_exports"]
    found = {
        f"exceptions reached the program: {last['errors'][:3]}": bool(last["errors"]),
        f"no fault was played: {failed} exports failed": failed < IN_VAIN,
        f"only {good} exports succeeded": good < AFTERWARDS,
    }
    for store, rise in figures.increases.items():
        what = f"{store} rose by {rise:.0f} requests, {last['answered']} were made"
        found[what] = rise != last["answered"]
    return [text for text, is_wrong in found.items() if is_wrong]


class Application(TalkingProcess):
    """A running ``calling.py``, which exports often."""

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
    """What runs while faults are played: the stores and a provider."""

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
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()


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
        with ExitStack() as stack:
            self._start(stack)
            self._wait("exports", 1)
            with self._at_fault():
                self._wait("failed_exports", IN_VAIN)
            self._wait("good_exports", AFTERWARDS)
            last = self._application.ask("flush")
            self._wait_until_stored(last["answered"])
            process = self._application.process
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(_ENDS_WITHIN) == 0, self._application.log_tail()
        return Figures(
            last=last,
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
        if self._fault == Fault.FULL:
            self._collector.overlays.append(_FULL)
            stack.callback(self._without_overlay)
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
                if fault == Fault.FULL:
                    collector.stop()
                    self._without_overlay()
                collector.start()

    def _without_overlay(self) -> None:
        if _FULL in self._collector.overlays:
            self._collector.overlays.remove(_FULL)

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

"""What the commands share: options, threads, the instrumentation in a block."""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from support.installation import instrument
from support.telemetry import Telemetry


class Command(argparse.ArgumentParser):
    """``--seconds`` and ``--seed``."""

    def __init__(self, name: str, description: str | None, *, seconds: float, most: float) -> None:
        super().__init__(prog=f"make -C tests/studies {name}", description=description)
        self._most = most
        length = f"how long (default: {seconds:g})"
        self.add_argument("--seconds", type=float, default=seconds, help=length)
        self.add_argument("--seed", type=int, default=random.randrange(10**6))

    def parse(self, arguments: list[str] | None) -> argparse.Namespace:
        """Return the options. Bad ones end the program with status 2."""
        # A shell's background job inherits an ignored SIGINT.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        options = self.parse_args(arguments)
        if not 1 <= options.seconds <= self._most:
            self.error(f"the length must be from 1 second to {self._most:g} seconds")
        print(f"seed {options.seed}", flush=True)
        return options


def started(name: str, target: Callable[..., None], *arguments: Any) -> threading.Thread:
    """A thread that does not keep the program from ending."""
    thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
    thread.start()
    return thread


@contextlib.contextmanager
def instrumented() -> Iterator[Telemetry]:
    """Instrument until the block ends, and report to providers in memory."""
    telemetry = Telemetry()
    instrument(telemetry)
    try:
        yield telemetry
    finally:
        GlueLLMInstrumentor().uninstrument()
        telemetry.shutdown()

"""What the commands have in common: options, threads, the instrumentation in a block."""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from support.installation import instrument
from support.telemetry import Telemetry


class Command(argparse.ArgumentParser):
    """``--seconds`` or ``--minutes``, ``--seed`` and ``--figures``."""

    def __init__(self, name: str, description: str | None, *, seconds: float, most: float) -> None:
        super().__init__(prog=f"make -C tests/studies {name}", description=description)
        self._default, self._most = seconds, most
        length = self.add_mutually_exclusive_group()
        length.add_argument("--seconds", type=float, help=f"how long (default: {seconds:g})")
        length.add_argument("--minutes", type=float, help="the same in minutes")
        self.add_argument("--seed", type=int, default=random.randrange(10**6))
        self.add_argument(
            "--figures", type=Path, metavar="FILE", help="also write the figures there, as JSON"
        )

    def parse(self, arguments: list[str] | None) -> argparse.Namespace:
        """The options, with ``seconds``. Ends the program with status 2 for bad ones."""
        # A shell's background job inherits an ignored SIGINT.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        options = self.parse_args(arguments)
        if options.minutes is not None:
            options.seconds = options.minutes * 60
        options.is_default = options.seconds is None
        if options.is_default:
            options.seconds = self._default
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
    """The instrumentation, reporting to providers in memory, until the block ends."""
    telemetry = Telemetry()
    instrument(telemetry)
    try:
        yield telemetry
    finally:
        GlueLLMInstrumentor().uninstrument()
        telemetry.shutdown()

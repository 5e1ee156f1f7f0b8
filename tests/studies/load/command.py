"""Options and threads, which the commands share."""

import argparse
import random
import signal
import threading
from collections.abc import Callable
from typing import Any

from studies.figures import Parser


class Command(Parser):
    """``--seconds`` and ``--seed``."""

    def __init__(self, name: str, description: str | None, *, seconds: float) -> None:
        super().__init__(name, description)
        length = f"how long (default: {seconds:g})"
        self.add_argument("--seconds", type=float, default=seconds, help=length)
        self.add_argument("--seed", type=int, default=random.randrange(10**6))

    def parse(self, arguments: list[str] | None) -> argparse.Namespace:
        """Return the options. Bad ones end the program with status 2."""
        # A shell's background job inherits an ignored SIGINT.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        options = self.parse_args(arguments)
        if not 1 <= options.seconds <= 86_400:
            self.error("the length must be from 1 second to 1 day")
        print(f"seed {options.seed}", flush=True)
        return options


def started(name: str, target: Callable[..., None], *arguments: Any) -> threading.Thread:
    """Start a thread that does not keep the program from ending."""
    thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
    thread.start()
    return thread

"""Two threads, a log handler that sends over HTTP, and a finalizer that logs: nobody hangs.

The garbage collector can run a finalizer while a pool begins to be tracked. That finalizer waits
for the handler, and the handler, in its own thread, begins to track a pool. Argument: a server's
URL.
"""

import gc
import logging
import sys
import threading
import time
from typing import Any

import httpcore
import httpx

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

HELD, INSIDE = threading.Event(), threading.Event()
_TIMEOUT = 60.0


class Exporter(logging.Handler):
    """Sends each record somewhere."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == "first":
            HELD.set()
            INSIDE.wait(_TIMEOUT)
            time.sleep(0.2)
            httpx.get(self.url, trust_env=False)


class Dropped:
    """Garbage that complains, as a task does that was never awaited."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        LOGGER.error("dropped")


class Connections(list[Any]):
    """Lets the garbage collector come at one place: where a pool's connections are got to know."""

    def __iter__(self) -> Any:
        if sys._getframe(1).f_code.co_name == "adopt" and not INSIDE.is_set():
            INSIDE.set()
            Dropped()
            gc.collect()
        return super().__iter__()


LOGGER = logging.getLogger("app")


def main() -> None:
    """Play it and print whether both threads came to their end."""
    url = sys.argv[1]
    LOGGER.addHandler(Exporter(url))
    LOGGER.propagate = False
    GlueLLMInstrumentor().instrument(scope="all")
    gc.disable()

    def track() -> None:
        HELD.wait(_TIMEOUT)
        pool = httpcore.ConnectionPool()
        pool._connections = Connections()
        pool.request("GET", url)

    threads = [
        threading.Thread(target=LOGGER.warning, args=("first",), daemon=True),
        threading.Thread(target=track, daemon=True),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_TIMEOUT)
    assert INSIDE.is_set(), "the collector did not come where it should"
    print("hung" if any(thread.is_alive() for thread in threads) else "done", flush=True)


if __name__ == "__main__":
    main()

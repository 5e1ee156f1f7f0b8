"""Check that a finalizer that logs and a log handler that sends over HTTP do not deadlock.

The garbage collector can run a finalizer while the package begins to track a pool. The finalizer
waits for the handler's lock. The handler, in another thread, also begins to track a pool. Argument:
a server's URL.
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
    """Send each record over HTTP."""

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
    """An object whose finalizer logs, as that of a task that was never awaited."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        LOGGER.error("dropped")


class Connections(list[Any]):
    """A pool's connections. The garbage collector runs when the package first reads them."""

    def __iter__(self) -> Any:
        if sys._getframe(1).f_code.co_name == "adopt" and not INSIDE.is_set():
            INSIDE.set()
            Dropped()
            gc.collect()
        return super().__iter__()


LOGGER = logging.getLogger("app")


def main() -> None:
    """Run both threads and print whether they have ended."""
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
    assert INSIDE.is_set(), "the collector did not run where it should"
    print("hung" if any(thread.is_alive() for thread in threads) else "done", flush=True)


if __name__ == "__main__":
    main()

"""Fork repeatedly while threads send requests and collect metrics. Children send requests as well.

Arguments: the library, a URL, the number of children. Prints a line of JSON for each process.
"""

import json
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from integration.process.requesting import Requesting
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, diagnose, snapshot
from support.installation import installed

library, url, children = sys.argv[1], sys.argv[2], int(sys.argv[3])
reader = InMemoryMetricReader()
GlueLLMInstrumentor().instrument(
    scope="all", meter_provider=MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
)
over = threading.Event()
made = 0
lock = threading.Lock()


def entered() -> int:
    """Return the number of requests that this process has counted."""
    return sum(origin.requests_entered for totals in snapshot().totals for origin in totals.origins)


def failures() -> dict[str, int]:
    """Return the failures that the instrumentation has caught."""
    return dict(installed().registry.failures.counts)


def watched() -> bool:
    """Return whether this process has a watch thread."""
    return any(thread.name == "gluellm-pool-watch" for thread in threading.enumerate())


def child(depth: int, forked_at: float) -> None:
    """Make two requests, print what was counted, and fork another child."""
    at_first, uptime = entered(), snapshot().uptime
    pool = Requesting.of(library, url)
    pool.send()
    pool.send()
    diagnose(snapshot())
    report: dict[str, Any] = {
        "depth": depth,
        "at first": at_first,
        "uptime is its own": 0 <= uptime <= time.monotonic() - forked_at,
        "entered": entered(),
        "watched": watched(),
        "failures": failures(),
    }
    os.write(1, (json.dumps(report) + "\n").encode())
    if depth < 2:
        fork(depth + 1)


def fork(depth: int) -> None:
    """Fork a child and wait for it. It must end by itself."""
    forked_at = time.monotonic()
    process = os.fork()
    if process == 0:
        status = 1
        try:
            # The default handler ends a hanging child. The parent's handler would fork again.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(30)
            child(depth, forked_at)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(process, 0)
    if status:
        raise SystemExit(f"a child ended with {status}")


def send() -> None:
    """Send requests with this thread's own pool until the end."""
    global made
    pool = Requesting.of(library, url)
    while not over.is_set():
        pool.send()
        with lock:
            made += 1
        time.sleep(0.001)


def collect() -> None:
    """Collect repeatedly, as an exporter's thread does."""
    installation = installed()
    while not over.is_set():
        installation._source.collect()
        snapshot()


def on_timer(_number: int, _frame: FrameType | None) -> None:
    fork(2)


Requesting.of(library, url).send()  # a fork during an import would leave its lock held in children
made = 1
threads = [threading.Thread(target=send) for _ in range(2)] + [threading.Thread(target=collect)]
for thread in threads:
    thread.start()
try:
    for number in range(children):
        if number % 3 == 0:
            fork(1)
        elif number % 3 == 1:
            forker = threading.Thread(target=fork, args=(2,))
            forker.start()
            forker.join()
        else:
            signal.signal(signal.SIGALRM, on_timer)
            signal.raise_signal(signal.SIGALRM)
finally:
    over.set()
for thread in threads:
    thread.join()
report = {"depth": 0, "made": made, "entered": entered(), "failures": failures()}
print(json.dumps(report), flush=True)

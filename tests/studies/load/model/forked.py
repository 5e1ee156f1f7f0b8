"""What a forked child finds: nothing of its parent's, and everything at work."""

from __future__ import annotations

import os
import select
import signal
import traceback
import warnings
from collections.abc import Callable

from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.libraries import Library
from support.telemetry import Telemetry

from .reading import Reading

_PATIENCE = 20.0


def verdict_of_child(telemetry: Telemetry, library: Library, url: str, seen: bool) -> str:
    """Fork, let the child look at what it is told, and return what is wrong there."""
    return in_child(lambda: _wrong_in_child(telemetry, library, url, seen))


def in_child(look: Callable[[], str]) -> str:
    """Run a function in a forked child, which then ends at once, and return its result."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Other threads run, as they do in a server that forks its workers late.
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if not process:
        try:
            said = look()
        except BaseException:
            said = traceback.format_exc()
        os.write(writing, said.encode()[:60_000] or b"fine")
        os._exit(0)
    os.close(writing)
    try:
        ready, _, _ = select.select([reading], [], [], _PATIENCE)
        if not ready:
            os.kill(process, signal.SIGKILL)
            return "the child hangs"
        said = os.read(reading, 65_536).decode()
    finally:
        os.close(reading)
        os.waitpid(process, 0)
    return "" if said == "fine" else said or "the child has died"


def _wrong_in_child(telemetry: Telemetry, library: Library, url: str, seen: bool) -> str:
    wrong = []
    if seen:
        taken = snapshot()
        if taken.pools or taken.totals:
            wrong.append(f"the child's snapshot has {taken.pools} {taken.totals}")
    reading = Reading(telemetry)
    for name, points in reading.points.items():
        # A histogram's cumulated counts are the SDK's, which copies them into a child.
        left = [p for p in points if not hasattr(p, "bucket_counts") and p.value]
        if left and name != semconv.SEAM.name:
            wrong.append(f"the child begins with {name}: {left}")
    # Its own requests count as its own, on a pool of its own: the parent's sockets are not its.
    pool = library.core.ConnectionPool()
    response = pool.handle_request(library.request(url))
    body = b"".join(response.stream)
    response.close()
    if body != b"ok":
        wrong.append(f"the child was answered {body!r}")
    reading = Reading(telemetry)
    for metric, expected in (
        (semconv.REQUESTS, 1),
        (semconv.CONNECTION_OPENED, 1),
        (semconv.POOL_LIVE, 1),
        (semconv.OPEN_CONNECTIONS, 1),
        (semconv.ACTIVE_REQUESTS, 0),
        (semconv.INSTRUMENTATION_ERRORS, 0),
    ):
        told = reading.total(metric)
        if told != (expected if seen else 0):
            wrong.append(f"after the child's own request {metric.name} is {told}")
    return "\n".join(wrong)

"""What a forked child finds: nothing of its parent's, and everything at work."""

from __future__ import annotations

import multiprocessing
import warnings
from typing import Any

from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from studies.load.collection import Collection
from support.libraries import Library
from support.telemetry import Telemetry

_PATIENCE = 20.0
_FORK = multiprocessing.get_context("fork")


def verdict_of_child(*arguments: Any) -> str:
    """Fork, let the child look at what it finds, and return what is wrong there."""
    receiving, sending = _FORK.Pipe(duplex=False)
    child = _FORK.Process(target=lambda: sending.send(_wrong_in_child(*arguments)), daemon=True)
    with warnings.catch_warnings():
        # Other threads run, as they do in a server that forks its workers late.
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    sending.close()
    try:
        return str(receiving.recv()) if receiving.poll(_PATIENCE) else "the child hangs"
    except EOFError:
        return "the child has died; its traceback is on standard error"
    finally:
        receiving.close()
        child.kill()
        child.join()


def _wrong_in_child(telemetry: Telemetry, library: Library, url: str, seen: bool) -> str:
    wrong = []
    if seen:
        taken = snapshot()
        if taken.pools or taken.totals:
            wrong.append(f"the child's snapshot has {taken.pools} {taken.totals}")
    reading = Collection(telemetry.reader)
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
    reading = Collection(telemetry.reader)
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

"""Nothing is retained: what a program has dropped is gone, and so is all that was kept of it."""

from __future__ import annotations

import gc
import time
import weakref
from typing import Any

from opentelemetry.instrumentation.gluellm.pool.connection import TrackedConnection
from opentelemetry.instrumentation.gluellm.pool.lease import Lease
from opentelemetry.instrumentation.gluellm.pool.registry import PoolRegistry
from opentelemetry.instrumentation.gluellm.pool.tracker import PoolTracker

from .world import PATIENCE

_OURS = (Lease, TrackedConnection, PoolTracker)


Watched = dict[int, "weakref.ref[Any]"]
"""The library's objects of one life, by their identity."""


def left_over(watched: Watched, registry: PoolRegistry) -> list[str]:
    """What has not gone, though the life is over and the garbage collector came."""
    deadline = time.monotonic() + PATIENCE
    while True:
        gc.collect()
        alive = [repr(one) for reference in watched.values() if (one := reference()) is not None]
        left = alive or _records(registry)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.002)


def _records(registry: PoolRegistry) -> list[str]:
    # Those of a life that has failed are kept by its traceback.
    found = [
        type(one).__name__
        for one in gc.get_objects()
        if type(one) in _OURS and getattr(one, "tracker", one).registry is registry
    ]
    kept = registry.trackers, registry.ending, registry.outbox.items
    return found + [f"{len(some)} in the registry" for some in kept if some]

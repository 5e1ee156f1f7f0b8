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


class Watched:
    """The library's objects of one example, referred to weakly."""

    def __init__(self) -> None:
        self._found: dict[int, weakref.ref[Any]] = {}

    def watch(self, objects: list[Any]) -> None:
        """Note these too."""
        for one in objects:
            known = self._found.get(id(one))
            if known is None or known() is None:
                self._found[id(one)] = weakref.ref(one)

    def alive(self) -> list[str]:
        """What is still there."""
        found = (reference() for reference in self._found.values())
        return [repr(one) for one in found if one is not None]


def left_over(watched: Watched, registries: list[PoolRegistry]) -> list[str]:
    """What has not gone, though the example is over and the garbage collector came."""
    deadline = time.monotonic() + PATIENCE
    while True:
        gc.collect()
        left = watched.alive() or _records(registries)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.002)


def _records(registries: list[PoolRegistry]) -> list[str]:
    # Those of an example that has failed are kept by its traceback.
    found = [
        f"a {type(one).__name__}"
        for one in gc.get_objects()
        if type(one) in _OURS and _tracker(one).registry in registries
    ]
    for registry in registries:
        found += [f"trackers: {len(registry.trackers)}"] if registry.trackers else []
        found += [f"ending: {len(registry.ending)}"] if registry.ending else []
        found += [f"outbox: {len(registry.outbox.items)}"] if registry.outbox.items else []
    return found


def _tracker(one: Any) -> Any:
    return one if isinstance(one, PoolTracker) else one.tracker

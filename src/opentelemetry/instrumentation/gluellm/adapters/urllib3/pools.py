"""Owners and ends of pools.

botocore builds its PoolManager with its client, and the manager builds a pool with the first
request, in a thread that does not have the call in its context. So the manager is claimed when it
is built, and its pools inherit its owner.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..marks import BUILT_BY, LIMITS_FROM, OWNER, TRACKER, connection_of
from ..scope import Scope


class PoolHooks:
    """Replacements for the methods that build and close pools."""

    def __init__(self, scope: Scope, on_forwarding: Callable[[], None]) -> None:
        self._claim = scope.claim
        self._registry = scope.registry
        self._on_forwarding = on_forwarding
        """Called when a pool for a forwarding proxy is built."""

    def built(self, original: Any) -> Any:
        """Claim a new pool or pool manager for the any-llm call or the SDK that builds it."""
        claim, on_forwarding = self._claim, self._on_forwarding

        def __init__(self_: Any, *args: Any, **kwargs: Any) -> None:
            original(self_, *args, **kwargs)
            claim(self_)
            try:
                if forwards(self_):
                    on_forwarding()
            except Exception as error:
                self._registry.failures.caught("urllib3.proxy", error)

        return __init__

    def new_pool(self, original: Any) -> Any:
        """Give the pools that a manager builds the manager's owner."""

        def _new_pool(self_: Any, *args: Any, **kwargs: Any) -> Any:
            pool = original(self_, *args, **kwargs)
            try:
                for note in (OWNER, BUILT_BY, LIMITS_FROM):
                    inherited = getattr(self_, note, None)
                    if inherited is not None:
                        setattr(pool, note, inherited)
            except Exception as error:
                self._registry.failures.caught("urllib3.claim", error)
            return pool

        return _new_pool

    def close(self, original: Any) -> Any:
        """Record that a pool is closed, by its owner or by a manager that needs room (1.26)."""
        closed = self._closed

        def close(self_: Any) -> Any:
            closed(self_)
            return original(self_)

        return close

    def clear(self, original: Any) -> Any:
        """Record that a manager drops its pools; since urllib3 1.26.16 it does not close them."""
        closed = self._closed

        def clear(self_: Any) -> Any:
            try:
                pools = pools_of_manager(self_)
            except Exception as error:
                self._registry.failures.caught("urllib3.pool_close", error)
                pools = ()
            for pool in pools:
                closed(pool)
            del pools
            return original(self_)

        return clear

    def _closed(self, pool: Any) -> None:
        tracker = getattr(pool, TRACKER, None)
        if tracker is None or not tracker.open or tracker.registry is not self._registry:
            return
        try:
            queue = pool.pool
            for connection in tuple(queue.queue) if queue is not None else ():
                record = connection_of(connection)
                if record is not None:
                    # Recorded now: if the manager only drops the pool, the garbage collector
                    # closes its connections.
                    record.close("pool_closed")
            tracker.discard("closed")
        except Exception as error:
            self._registry.failures.caught("urllib3.pool_close", error)


def forwards(pool: Any) -> bool:
    """Whether a pool's proxy forwards: it gets whole URLs, for any origin."""
    proxy = getattr(pool, "proxy", None)
    return proxy is not None and getattr(pool, "host", None) == proxy.host


def pools_of_manager(manager: Any) -> tuple[Any, ...]:
    """The pools that a manager has now, read without its lock."""
    return tuple(manager.pools._container.values())

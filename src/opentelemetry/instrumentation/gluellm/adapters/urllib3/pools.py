"""Owners, executors and ends of pools.

botocore builds its PoolManager with its client, and the manager builds a pool with the first
request, in a thread that does not have the call in its context. So the manager is claimed when it
is built, and its pools inherit its owner.

So do the managers of botocore's sessions. any-llm's bedrock provider has one client for each
timeout that it is called with, and botocore has one manager for each proxy. Both are built long
after an any-llm call has built their session, and in another thread.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ..marks import BUILT_AT, BUILT_BY, LIMITS_FROM, OWNER, TRACKER, connection_of
from ..scope import Scope
from .clients import pools_of_manager, urllib3_pools


class PoolHooks:
    """Replacements for the methods that build and close pools."""

    def __init__(self, scope: Scope, on_forwarding: Callable[[], None]) -> None:
        self._claim = scope.claim
        self._registry = scope.registry
        self._on_forwarding = on_forwarding
        """Called when a pool for a forwarding proxy is built."""

    def built(self, pool: Any) -> None:
        """Claim a new pool or pool manager for the any-llm call or the SDK that builds it."""
        self._claim(pool)
        if forwards(pool):
            self._on_forwarding()

    def new_pool(self, original: Any) -> Any:
        """Give the pools that a manager builds the manager's owner."""

        def _new_pool(self_: Any, *args: Any, **kwargs: Any) -> Any:
            pool = original(self_, *args, **kwargs)
            try:
                for note in (OWNER, BUILT_BY, BUILT_AT, LIMITS_FROM):
                    inherited = getattr(self_, note, None)
                    if inherited is not None:
                        setattr(pool, note, inherited)
            except Exception as error:
                self._registry.failures.caught("urllib3.claim", error)
            return pool

        return _new_pool

    def of_session(self, original: Any) -> Any:
        """Give the pools of what a session builds the session's owner, if they have none."""

        def build(self_: Any, *args: Any, **kwargs: Any) -> Any:
            built = original(self_, *args, **kwargs)
            owner = self_._gluellm_owner
            if owner is None or not self._registry.open or is_shared(self_):
                return built
            try:
                for pool in urllib3_pools(built):
                    if getattr(pool, OWNER, None) is None:
                        setattr(pool, OWNER, owner)
                        setattr(pool, BUILT_AT, getattr(self_, BUILT_AT, None))
            except Exception as error:
                self._registry.failures.caught("urllib3.claim", error)
            return built

        return build

    def closes(self, pool: Any) -> None:
        """Record that a pool is closed, by its owner or by a manager that needs room (1.26)."""
        tracker = getattr(pool, TRACKER, None)
        if tracker is None or not tracker.open or tracker.registry is not self._registry:
            return
        queue = pool.pool
        for connection in tuple(queue.queue) if queue is not None else ():
            record = connection_of(connection)
            if record is not None and not record.leases:  # else another thread has taken it
                # Not closed yet: another thread can still take it. If the manager only drops the
                # pool, the garbage collector closes its connections.
                record.closing = "pool_closed"
        tracker.discard("closed")

    def cleared(self, manager: Any) -> None:
        """Record that a manager drops its pools; since urllib3 1.26.16 it does not close them."""
        for pool in pools_of_manager(manager):
            self.closes(pool)


def forwards(pool: Any) -> bool:
    """Whether a pool's proxy forwards: it gets whole URLs, for any origin."""
    proxy = getattr(pool, "proxy", None)
    return proxy is not None and getattr(pool, "host", None) == proxy.host


def is_shared(session: Any) -> bool:
    """Whether a session is boto3's default one, which the whole process shares.

    any-llm's sagemaker provider may be the first to use it, but the application's own clients come
    from it as well.
    """
    default = getattr(sys.modules.get("boto3"), "DEFAULT_SESSION", None)
    return default is not None and getattr(default, "_session", None) is session

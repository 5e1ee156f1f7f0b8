"""Whose pools they are, and when they end.

botocore builds its PoolManager with its client, and the manager builds a pool with the first
request, in a thread that knows nothing of the call. So the manager is claimed where it is built,
and its pools are its owner's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..admission import Admission
from ..marks import BUILT_BY, LIMITS_FROM, OWNER, TRACKER
from .marks import connection_of


class PoolHooks:
    """Replacements for the methods that build and close pools."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._registry = admission.registry
        self.on_forwarding: Callable[[], None] = _nothing
        """Called when a pool is built whose proxy forwards."""

    def built(self, original: Any) -> Any:
        """Claim a pool or a manager of pools that is built inside an any-llm call."""
        claim = self._admission.claim
        failures = self._registry.failures

        def __init__(self_: Any, *args: Any, **kwargs: Any) -> None:
            original(self_, *args, **kwargs)
            claim(self_)
            try:
                if forwards(self_):
                    self.on_forwarding()
            except Exception as error:
                failures.caught("urllib3.proxy", error)

        return __init__

    def new_pool(self, original: Any) -> Any:
        """A manager builds a pool: it is whose the manager is."""
        failures = self._registry.failures

        def _new_pool(self_: Any, *args: Any, **kwargs: Any) -> Any:
            pool = original(self_, *args, **kwargs)
            try:
                for note in (OWNER, BUILT_BY, LIMITS_FROM):
                    inherited = getattr(self_, note, None)
                    if inherited is not None:
                        setattr(pool, note, inherited)
            except Exception as error:
                failures.caught("urllib3.claim", error)
            return pool

        return _new_pool

    def close(self, original: Any) -> Any:
        """A pool is closed: by its owner, or by a manager that needs its place (urllib3 1.26)."""
        closed = self._closed

        def close(self_: Any) -> Any:
            closed(self_)
            return original(self_)

        return close

    def clear(self, original: Any) -> Any:
        """A manager lets go of its pools; since urllib3 1.26.16 without closing them."""
        closed = self._closed
        failures = self._registry.failures

        def clear(self_: Any) -> Any:
            try:
                pools = pools_of(self_)
            except Exception as error:
                failures.caught("urllib3.pool_close", error)
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
                    # Of a pool that was let go of, the garbage collector closes them.
                    record.close("pool_closed")
            tracker.discard("closed")
        except Exception as error:
            self._registry.failures.caught("urllib3.pool_close", error)


def forwards(pool: Any) -> bool:
    """Whether a pool is one to a proxy that is asked with whole URLs, for any origin."""
    proxy = getattr(pool, "proxy", None)
    return proxy is not None and getattr(pool, "host", None) == proxy.host


def _nothing() -> None:
    pass


def pools_of(manager: Any) -> tuple[Any, ...]:
    """The pools that a manager has now, read without its lock."""
    return tuple(manager.pools._container.values())

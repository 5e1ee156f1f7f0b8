"""Which pools are tracked, and under which owner. The rules are the same for every library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..concurrency import acquire
from ..pool.lease import Call
from ..pool.reader import PoolReader, seconds_or_none
from ..pool.registry import Owner, running_loop
from ..pool.tracker import PoolTracker
from .base import Surroundings
from .callers import exporter_on_stack, sdk_on_stack
from .marks import BUILT_BY, OWNER, TRACKER

_LOCK_TIMEOUT = 0.05
EXCLUDED = Owner("", None)
"""Owner of a pool that is not observed: the user excluded it, or an exporter sends through it."""

Adopt = Callable[[Any, PoolTracker], None]
"""Creates the records of the connections that a pool has when its tracking begins."""


def _no(_pool: Any) -> bool:
    return False


class Admission:
    """Claims the pools of one library, and starts to track those in scope at their first request.

    A pool's tracker and owner are attributes of the pool, with defaults on its class (``marks``).
    """

    def __init__(
        self,
        surroundings: Surroundings,
        library: str,
        reader: PoolReader,
        adopt: Adopt,
        is_synchronous: Callable[[Any], bool] = _no,
    ) -> None:
        self.surroundings = surroundings
        self.registry = surroundings.registry
        self.library = library
        self.active = True
        """False once the installation is undone: remaining replacements then pass everything on."""
        self._reader = reader
        self._adopt = adopt
        self._is_synchronous = is_synchronous

    def call(self) -> Call | None:
        """The running code's any-llm call; None if there is none or it has ended."""
        call = self.surroundings.current_call()
        return None if call is None or call.ended else call

    def claim(self, pool: Any) -> None:
        """Store on a new pool the any-llm provider or the SDK that it is built for."""
        try:
            call = self.call()
            if call is not None:
                if getattr(pool, OWNER, None) is None:
                    setattr(pool, OWNER, Owner(call.provider, call.provider, call.call_site))
            elif self.surroundings.everything:
                setattr(pool, BUILT_BY, sdk_on_stack())
        except Exception as error:
            self.registry.failures.caught(f"{self.library}.claim", error)

    def tracker(
        self, pool: Any, host: str, read_timeout: float | None = None
    ) -> PoolTracker | None:
        """The tracker of a pool that gets a request for ``host``; None if the pool is not in scope.

        ``read_timeout`` (seconds) is this request's.
        """
        tracker: PoolTracker | None = getattr(pool, TRACKER, None)
        if tracker is None or not tracker.open or tracker.registry is not self.registry:
            if (
                not self.surroundings.everything
                and getattr(pool, OWNER, None) is None
                and self.surroundings.current_call() is None
            ):
                self.outside()
                return None
            tracker = self.enter(pool, host, read_timeout)
        if tracker is not None and tracker.loop is None:
            tracker.loop = running_loop()
        return tracker

    def outside(self) -> None:
        """Count a request of a pool out of scope, unless an exporter sends the request."""
        registry = self.registry
        if not registry.counts_outside:
            return
        try:
            if self.surroundings.suppressed() and exporter_on_stack():
                return
            registry.outside += 1
        except Exception as error:
            registry.failures.caught(f"{self.library}.outside", error)

    def enter(self, pool: Any, host: str, read_timeout: float | None = None) -> PoolTracker | None:
        """Start to track a pool that has no tracker; return None if the pool is not in scope."""
        if not self.active or getattr(pool, OWNER, None) is EXCLUDED:
            return None
        # Bounded wait: the garbage collector may run while this lock is held, and a finalizer that
        # logs waits for the log's lock. A log handler that sends over HTTP may hold that one and
        # wait for this one.
        registry = self.registry
        lock = registry.lock
        held: list[bool] = []
        try:
            if not acquire(lock, held, _LOCK_TIMEOUT):
                return None  # this request is not observed; the next one tries again
            if registry.entering is pool:
                return None  # a signal handler's request during this one: the lock is reentrant
            outer, registry.entering = registry.entering, pool
            try:
                return self._track(pool, host, read_timeout)
            finally:
                registry.entering = outer
        except Exception as error:
            registry.failures.caught(f"{self.library}.track", error)
            return None
        finally:
            if held and held[0]:
                lock.release()

    def _track(self, pool: Any, host: str, read_timeout: float | None) -> PoolTracker | None:
        tracker: PoolTracker | None = getattr(pool, TRACKER, None)
        if tracker is not None and tracker.open and tracker.registry is self.registry:
            return tracker
        call = self.call()
        owner = self._owner(pool, call)
        if owner is None:
            return None
        tracker = self.registry.track(
            pool,
            self._reader,
            owner=owner,
            library=self.library,
            host=host,
            provider=None if call is None else call.provider,
        )
        try:
            tracker.read_timeout = seconds_or_none(read_timeout)
            if self._is_synchronous(pool):
                tracker.synchronous = True
                tracker.ledger.pools_synchronous += 1
            try:
                self._adopt(pool, tracker)
            except Exception as error:
                # Requests are counted anyway, without the connections that the pool already had.
                self.registry.failures.caught(f"{self.library}.adopt", error)
            setattr(pool, TRACKER, tracker)
        except BaseException:
            # The pool gets a new tracker at its next request.
            tracker.discard("closed")
            raise
        return tracker

    def _owner(self, pool: Any, call: Call | None) -> Owner | None:
        owner: Owner | None = getattr(pool, OWNER, None)
        if owner is EXCLUDED:
            return None
        handed_in = owner is not None and owner.provider is None
        if not handed_in and self.surroundings.suppressed() and exporter_on_stack():
            setattr(pool, OWNER, EXCLUDED)
            return None
        if owner is not None and owner.name:
            return owner
        if call is not None:
            return Owner(call.provider, None)
        if not handed_in and not self.surroundings.everything:
            return None
        name: str | None = getattr(pool, BUILT_BY, None)
        if name is None:
            name = sdk_on_stack() or self.library
            setattr(pool, BUILT_BY, name)
        return Owner(name, None)

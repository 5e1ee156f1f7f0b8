"""Attributes that the instrumentation sets on a library's objects, whose lifetime they share.

Each class gets None as the attribute's default. Reading the attribute is then one look-up, which
raises nothing and does not make the instance build its ``__dict__``. The defaults have no effect
and stay after ``uninstrument()``.
"""

from __future__ import annotations

import contextlib
from typing import Any

from ..pool.lease import TrackedConnection, Tracker

TRACKER = "_gluellm_tracker"
"""On a pool: its PoolTracker, once it is tracked."""
OWNER = "_gluellm_owner"
"""On a pool: its Owner, if it was built inside an any-llm call or instrumented by the user."""
BUILT_BY = "_gluellm_built_by"
"""On a pool without a named owner: the name of an SDK or of the library, under which the pool is
reported."""
BUILT_AT = "_gluellm_built_at"
"""On a pool: the CallSite that built it; None if unknown."""
LIMITS_FROM = "_gluellm_limits_from"
"""On a pool: what set its limits, in words, if that was ``configure_pools()``."""
OF_POOLS = (TRACKER, OWNER, BUILT_BY, BUILT_AT, LIMITS_FROM)
POOL_TIMEOUT = "_gluellm_pool_timeout"
"""On a pool: the pool timeout in seconds that ``configure_pools()`` gave it."""
LIMITS = "_gluellm_limits"
"""On an object that builds pools later, perhaps in another thread: the limits for those pools."""
LEASE = "_gluellm_lease"
"""On a request of httpcore or aiohttp, a call of gRPC or a response of urllib3: its Lease. False on
a response that is known to have none."""
CONNECTION = "_gluellm_connection"
"""On a connection, and on httpcore's network streams and protocol connections: the
TrackedConnection. aiohttp's connections are protocols. urllib3's object can connect again after it
was closed, and then gets a new record."""


def connection_of(connection: Any) -> Any:
    """The record of a connection, or None. For connections whose class may have no default."""
    return getattr(connection, CONNECTION, None)


def attach(connection: Any, record: Any, before: Any) -> Any:
    """Store the record of a connection in place of ``before``, and return it.

    If another thread has stored a record meanwhile, the other record stays and is returned.
    """
    # atomic, hence without `connection_of` and setattr()
    try:
        found = connection._gluellm_connection
    except AttributeError:
        found = None
    if found is before:
        connection._gluellm_connection = found = record
        record.tracker.connections[record] = None
    return found


def serves_again(known: TrackedConnection, tracker: Tracker) -> bool:
    """Whether a closed pool has a connection and is now used again, with a tracker of its own.

    Both trackers then count in one ledger, and a second record would count the end twice.
    """
    before = known.tracker
    return before.registry is tracker.registry and before.ledger is tracker.ledger


def take_over(known: TrackedConnection, tracker: Tracker) -> bool:
    """Move a record to the next tracker of its pool. Return whether it is the tracker's now."""
    if known.tracker is not tracker:
        if not serves_again(known, tracker):
            return False
        known.tracker.connections.pop(known, None)
        known.tracker = tracker
        tracker.connections[known] = None
    return True


def give_defaults(owner: type | None, *names: str) -> None:
    """Give a class the default None for each of the attributes ``names``."""
    for name in names:
        # In an unknown version this may be no class, or one that refuses attributes. Its methods
        # can't be replaced either then.
        with contextlib.suppress(Exception):
            if owner is not None and not hasattr(owner, name):
                setattr(owner, name, None)

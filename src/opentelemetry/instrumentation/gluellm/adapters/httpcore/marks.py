"""Our notes on the library's objects: attributes, so that a note goes when its object goes.

Each class gets the attribute with None as its default, so that reading it is one look-up, with no
exception and without making the instance build its ``__dict__``. The defaults are inert and stay.
"""

from __future__ import annotations

from typing import Any

TRACKER = "_gluellm_tracker"
"""On a pool: its PoolTracker, once it is tracked."""
OWNER = "_gluellm_owner"
"""On a pool: its Owner, where it was built inside an any-llm call or handed in by the user."""
LEASE = "_gluellm_lease"
"""On a request: its Lease."""
CONNECTION = "_gluellm_connection"
"""On a connection, on the network stream that it gets, and on the protocol connection inside: its
TrackedConnection."""


def give_defaults(owner: type | None, *names: str) -> None:
    """Make ``names`` readable on every instance of a class."""
    for name in names:
        if owner is not None and not hasattr(owner, name):
            setattr(owner, name, None)


def connection_of(connection: Any) -> Any:
    """The note on a connection whose class may be unknown to us."""
    return getattr(connection, CONNECTION, None)

"""Our notes on a library's objects: attributes, so that a note goes when its object goes.

Each class gets the attribute with None as its default, so that reading it is one look-up, with no
exception and without making the instance build its ``__dict__``. The defaults are inert and stay.
"""

from __future__ import annotations

from ..failures import raise_on

TRACKER = "_gluellm_tracker"
"""On a pool: its PoolTracker, once it is tracked."""
OWNER = "_gluellm_owner"
"""On a pool: its Owner, where it was built inside an any-llm call or handed in by the user."""
BUILT_BY = "_gluellm_built_by"
"""On a pool that neither the user nor any-llm named: its name. Set with ``scope="all"``, and for an
instrumented client without a name."""
LIMITS_FROM = "_gluellm_limits_from"
"""On a pool: what set its limits, in words, where that was ``configure_pools()``."""
POOL_TIMEOUT = "_gluellm_pool_timeout"
"""On a pool: the pool timeout in seconds that ``configure_pools()`` gave it."""
LIMITS = "_gluellm_limits"
"""On what builds pools later, perhaps in another thread: the limits that those get."""


def give_defaults(owner: type | None, *names: str) -> None:
    """Make ``names`` readable on every instance of a class."""
    for name in names:
        # A class may refuse attributes, or not be one any more: its methods can't be replaced then.
        try:
            if owner is not None and not hasattr(owner, name):
                setattr(owner, name, None)
        except Exception as error:
            raise_on(error)

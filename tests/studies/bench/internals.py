"""The private names of the package that measurements need; no other module here uses any."""

import os
from typing import Any

from opentelemetry.instrumentation.gluellm.pool.lease import Lease
from opentelemetry.instrumentation.gluellm.watch import watch
from support.installation import installed


def leave_out_what_runs_by_the_clock() -> None:
    """Turn off the watch's passes and the loops' timers for later instrumentations.

    Under valgrind a request takes fifty times as long, and would include fifty times as many of
    them. ``collection.py`` measures them.
    """
    watch.INTERVAL = 3600.0
    os.environ["OTEL_PYTHON_GLUELLM_LOOP_LAG"] = "false"


def leave_out_the_first_minute() -> None:
    """Stop counting requests outside the scope, as the first collection that finds some does."""
    installed().registry.counts_outside = False


def drain() -> None:
    """Pass the items of the outbox to the SDK, as a collection does first."""
    installed().drain.all()


def outbox() -> Any:
    """Holds the items that are not recorded yet."""
    return installed().registry.outbox


def fill(items: list[Any], count: int) -> None:
    """Fill the outbox with unrecorded copies of ``items``, up to ``count`` items."""
    deque = outbox().items
    while items and len(deque) < count:
        copies: dict[int, Any] = {}
        # A lease can be in there twice, for its answer and for its end.
        for item in items[: count - len(deque)]:
            if id(item) not in copies:
                copies[id(item)] = _unrecorded(item)
            deque.append(copies[id(item)])


def _unrecorded(item: Any) -> Any:
    if not isinstance(item, Lease):
        return item
    # Not by copy.copy(), which returns None for a lease so that copies of a request have none.
    twin = object.__new__(Lease)
    for name in Lease.__slots__:
        if name != "__dict__" and hasattr(item, name):
            setattr(twin, name, getattr(item, name))
    twin.__dict__.update(item.__dict__)
    twin.recorded = 0
    twin.accounted = False
    return twin

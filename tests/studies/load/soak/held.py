"""What may grow during a run: the histories of pool names, which are bounded."""

from typing import Any, Final

from opentelemetry.instrumentation.gluellm.concurrency import snapshot_of, snapshot_of_queue
from opentelemetry.instrumentation.gluellm.pool.call_site import CallSite
from opentelemetry.instrumentation.gluellm.pool.ledger import Ledgers

_LARGEST_SHARED: Final = 256
"""Largest integer for which CPython has a single object."""


def blocks_of_histories(ledgers: Ledgers) -> int:
    """Return how many blocks of memory the last requests of all pool names take.

    The histories are bounded, but rarely used names take longer than a run to fill theirs.
    """
    counted: dict[int, Any] = {}
    for ledger in snapshot_of(ledgers.pools.values):
        for history in (ledger.ring, ledger.answered, ledger.sampled, ledger.failed):
            for entry in snapshot_of_queue(history):
                numbers = (one for one in entry if type(one) is int and one > _LARGEST_SHARED)
                call_sites = (one for one in entry if type(one) is CallSite)
                counted |= {id(one): one for one in (entry, *numbers, *call_sites)}
    return len(counted)

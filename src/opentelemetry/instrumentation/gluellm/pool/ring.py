"""The last requests of a pool name, to replay them through a simulated pool."""

from __future__ import annotations

from array import array
from collections import deque

from ..concurrency import snapshot_of_queue
from ..vocabulary import TICKS

KEPT = 2_000
"""Requests that a ring keeps. With `MAX_NAMES` rings they take 15 to 19 MB."""
_TICK = 1_000_000_000 // TICKS
_LONGEST = (2**31 - 1) * _TICK


class Ring(deque[tuple[int, int, int, int]]):
    """Ended requests of a pool name, appended by `Lease.account`.

    Of each request, its pool's ``tracked_at``, and the lease's ``entered_at``, ``acquired_at`` and
    ``ended_at``.
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(maxlen=KEPT)

    def times(self, pool: int, now: int) -> array[int]:
        """Return three numbers for each request of the pool with this ``tracked_at``, in ticks.

        Its age at ``now``, its time in the queue, and the time that it held a connection: -1 for a
        request that never had one. Requests of more than two days ago are left out.
        """
        found = array("i")
        for tracked_at, entered, acquired, ended in snapshot_of_queue(self):
            if tracked_at == pool and now - entered <= _LONGEST:
                found.append((now - entered) // _TICK)
                found.append(((acquired or ended) - entered) // _TICK)
                found.append((ended - acquired) // _TICK if acquired else -1)
        return found

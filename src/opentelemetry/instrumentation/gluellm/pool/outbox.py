"""A bounded queue between the request's path and the SDK.

The request's path and finalizers only append to it. The drain turns its items into counters and
histogram values at each collection. When it is half full, requests that enter help the drain.
"""

from __future__ import annotations

from collections import deque
from typing import Any

CAPACITY = 8192


class Outbox:
    """A queue of answered and ended leases, and of observers' records.

    When it is full, new items are dropped and counted in ``dropped``. The outcome of a dropped
    lease is counted at once, so only its durations are lost.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.half = capacity // 2
        self.items: deque[Any] = deque()
        self.filling = False
        """Whether requests that enter should help to drain it."""
        self.dropped = 0

    def put(self, item: Any) -> None:
        """Append an observer's record. The finalizer rule applies."""
        if len(self.items) < self.capacity:
            self.items.append(item)
        else:
            self.dropped += 1

    def put_lease(self, lease: Any) -> None:
        """Append a lease if there is room, and note if the queue is half full.

        The finalizer rule applies.
        """
        length = len(self.items)
        if length >= self.half:
            self.filling = True
        if length < self.capacity:
            self.items.append(lease)
            return
        self.dropped += 1
        if lease.ended_at:
            lease.account()

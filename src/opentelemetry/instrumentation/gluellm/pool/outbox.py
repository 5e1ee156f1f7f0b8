"""What has happened and is yet to be told: a bounded queue between the request's path and the SDK.

The path of a request, and a finalizer, only append here. Counters and histograms are fed from it
when somebody collects, or at the entry of a request once it is more than half full.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .lease import Lease

CAPACITY = 8192


class Outbox:
    """A queue of leases (answered or ended) and of whatever else observers put there.

    Past its capacity nothing is kept: a lease's end is then counted at once, and only its
    durations are lost and counted in ``dropped``.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.half = capacity // 2
        self.items: deque[Any] = deque()
        self.filling = False
        """Whether whoever enters should help to empty it."""
        self.attention = False
        """Whether whoever enters should look what is asked of it: help here, or waking the watch.
        One flag, since every request looks at it."""
        self.dropped = 0

    def put(self, item: Any) -> None:
        """Keep an observer's record. Reached by finalizers."""
        if len(self.items) < self.capacity:
            self.items.append(item)
        else:
            self.dropped += 1

    def press(self, lease: Lease) -> None:
        """Keep a lease where there is room, and ask for help when it gets tight.

        Reached by finalizers.
        """
        length = len(self.items)
        if length >= self.half:
            self.filling = self.attention = True
        if length < self.capacity:
            self.items.append(lease)
            return
        self.dropped += 1
        if lease.ended:
            lease.account()

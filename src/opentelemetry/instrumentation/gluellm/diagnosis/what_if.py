"""What another limit or more traffic would have changed, from a replay of recorded requests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..text import counted, one_line, seconds
from .parts import PoolSnapshot
from .replay import Waits, recording_of
from .snapshot import Snapshot

MOST_CONNECTIONS = 100_000
MOST_TRAFFIC = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """Waits for a connection in the pool of one name: as recorded, and as replayed."""

    pool: str
    """Name and library, for example ``openai/httpx2``."""
    max_connections: int | None
    """Limit of the replayed pool; None if unlimited."""
    traffic: int
    """Multiple of the recorded traffic."""
    reason: str = ""
    """Why there is no replay; empty if there is one."""
    requests: int = 0
    """Recorded requests, at most 2 000 and those in flight."""
    period: float = 0.0
    """Seconds from the first of them to the last."""
    limit: int | None = None
    """The pool's present limit; None if unlimited."""
    recorded: Waits | None = None
    replayed: Waits | None = None
    callers: int = 0
    """Fixed number of callers that sent the requests; 0 if arrivals do not depend on answers."""

    def __str__(self) -> str:
        name = one_line(self.pool)
        if self.reason:
            return f"{name}: no replay: {self.reason}"
        callers = f" from {counted(self.callers, 'caller')}, each waiting for its answer"
        rows = {
            f"recorded with max_connections={self.limit}": self.recorded,
            f"with max_connections={self.max_connections}"
            + (f" and {self.traffic} x the traffic" if self.traffic > 1 else ""): self.replayed,
        }
        lines = [f"  {label + ':':<40} {waits}" for label, waits in rows.items()]
        asked = f"{counted(self.requests, 'request')} in {seconds(self.period)}"
        return "\n".join([f"{name}: {asked}{callers if self.callers else ''}", *lines])


def what_if(
    snapshot: Snapshot, *, max_connections: int | None = None, traffic: int = 1
) -> list[WhatIf]:
    """Replay the recorded requests of each pool name with another limit or more traffic.

    ``max_connections`` is from 1 to 100 000 (None: the present limit). ``traffic`` is from 1 to 10;
    2 doubles the arrivals by a copy that is shifted by half of the recorded time. Returns one
    result for each name with live pools. The result has a ``reason`` instead of numbers if the name
    has several pools, if fewer than 50 of its requests are recorded, or if a limit on connections
    queues none of its requests (HTTP/2, gRPC). The module ``replay`` describes the simulated pool.

    Raises ValueError for a value out of range.
    """
    return what_if_of(snapshot.pools, max_connections=max_connections, traffic=traffic)


def what_if_of(
    pools: Iterable[PoolSnapshot], *, max_connections: int | None = None, traffic: int = 1
) -> list[WhatIf]:
    """Return the results of `what_if` for the pools of a snapshot."""
    if max_connections is not None and not 1 <= max_connections <= MOST_CONNECTIONS:
        raise ValueError(
            f"max_connections={max_connections}: allowed are 1 to {MOST_CONNECTIONS}, or None"
        )
    if not 1 <= traffic <= MOST_TRAFFIC:
        raise ValueError(f"traffic={traffic}: allowed are 1 to {MOST_TRAFFIC}")
    by_name: dict[str, list[PoolSnapshot]] = {}
    for pool in pools:
        by_name.setdefault(pool.label, []).append(pool)
    found = []
    for label, alike in by_name.items():
        recording = recording_of(alike)
        if isinstance(recording, str):
            found.append(
                WhatIf(
                    pool=label, max_connections=max_connections, traffic=traffic, reason=recording
                )
            )
            continue
        limit = max_connections or recording.maximum
        found.append(
            WhatIf(
                pool=label,
                max_connections=limit,
                traffic=traffic,
                requests=recording.size,
                period=recording.period,
                limit=recording.maximum,
                recorded=recording.recorded,
                replayed=recording.replay(limit, traffic),
                callers=recording.callers,
            )
        )
    return found

"""What another limit or more traffic would have changed, from a replay of recorded requests."""

from __future__ import annotations

from dataclasses import dataclass

from opentelemetry.instrumentation.gluellm.snapshots.parts import PoolSnapshot
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot
from opentelemetry.instrumentation.gluellm.text import counted, one_line, seconds

from .replay import Recording, Waits, recording_of

ALLOWED = {"max_connections": 100_000, "traffic": 10}
"""Arguments of `what_if`, and the highest value of each; the lowest is 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """Waits for a connection in the pool of one name: as recorded, and as replayed."""

    pool: str
    """Name and library, for example ``openai/httpx2``."""
    max_connections: int | None = None
    """Limit of the replayed pool; None if unlimited."""
    traffic: int = 1
    """Multiple of the recorded traffic."""
    reason: str = ""
    """Why there is no replay; empty if there is one."""
    requests: int = 0
    """Recorded requests, at most 2 000 and those in flight."""
    period: float = 0.0
    """Seconds from the first of them to the last."""
    limit: int | None = None
    """The pool's present limit; None if unlimited."""
    callers: int = 0
    """Fixed number of callers that sent the requests; 0 if arrivals do not depend on answers."""
    recorded: Waits | None = None
    replayed: Waits | None = None
    unended: tuple[float, ...] = ()
    """Seconds for which connections have been held, if that is longer than any that was released.
    When these are released is unknown: they may be leaked."""

    def __str__(self) -> str:
        name = one_line(self.pool)
        if self.reason:
            return f"{name}: no replay: {self.reason}"
        each = f" from {counted(self.callers, 'caller')}, one request at a time each"
        more = f", {self.traffic} x the traffic" if self.traffic > 1 else ""
        text = (
            f"{name}: {counted(self.requests, 'request')} in {seconds(self.period)}"
            f"{each if self.callers else ''}\n"
            f"  recorded with max_connections={self.limit}: {self.recorded}\n"
            f"  with max_connections={self.max_connections}{more}: {self.replayed}"
        )
        if self.unended:
            held, oldest = counted(len(self.unended), "connection"), seconds(max(self.unended))
            text += f"\n  still held: {held}, the oldest for {oldest}; their release is unknown"
        return text


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
    for name, value in (("max_connections", max_connections), ("traffic", traffic)):
        if value is not None and not 1 <= value <= ALLOWED[name]:
            raise ValueError(f"{name}={value}: allowed are 1 to {ALLOWED[name]}")
    by_name: dict[str, list[PoolSnapshot]] = {}
    for pool in snapshot.pools:
        by_name.setdefault(pool.label, []).append(pool)
    seen = {totals.label: totals.origins for totals in snapshot.totals}
    return [
        _of(label, recording_of(pools, seen=seen.get(label, ())), max_connections, traffic)
        for label, pools in by_name.items()
    ]


def _of(pool: str, found: Recording | str, max_connections: int | None, traffic: int) -> WhatIf:
    if isinstance(found, str):
        return WhatIf(pool=pool, max_connections=max_connections, traffic=traffic, reason=found)
    limit = max_connections or found.maximum
    return WhatIf(
        pool=pool,
        max_connections=limit,
        traffic=traffic,
        requests=found.size,
        period=found.period,
        limit=found.maximum,
        callers=found.callers,
        recorded=found.recorded,
        replayed=found.replay(limit, traffic),
        unended=found.unended,
    )

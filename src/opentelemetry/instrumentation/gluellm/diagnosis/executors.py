"""Executors whose threads send requests, derived from the pools of these requests."""

from __future__ import annotations

from collections import Counter

from ..pool.lease import Workers
from .parts import ExecutorSnapshot, PoolSnapshot


class Executors:
    """Pools, grouped by the executor whose threads send their requests."""

    def __init__(self) -> None:
        self._found: dict[object, tuple[Workers, Counter[str]]] = {}

    def add(self, workers: Workers, pool: PoolSnapshot) -> None:
        """Add a pool whose requests these workers send."""
        _, requests = self._found.setdefault(workers.executor, (workers, Counter()))
        requests[pool.label] += sum(1 for request in pool.requests if request.held is not None)

    def snapshots(self) -> tuple[ExecutorSnapshot, ...]:
        """Return one snapshot per executor."""
        return tuple(
            ExecutorSnapshot(
                threads=workers.maximum,
                waiting=workers.waiting,
                requests=requests.total(),
                pools=tuple(label for label, _ in requests.most_common()),
            )
            for workers, requests in self._found.values()
        )

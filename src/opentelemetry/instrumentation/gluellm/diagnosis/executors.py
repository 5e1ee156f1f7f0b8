"""The executors whose threads send requests, as seen through their pools."""

from __future__ import annotations

from collections import Counter

from ..pool.reader import Workers
from .snapshot import ExecutorSnapshot, PoolSnapshot


class Executors:
    """Puts the pools together whose requests the same threads send."""

    def __init__(self) -> None:
        self._found: dict[object, tuple[Workers, Counter[str]]] = {}

    def add(self, workers: Workers, pool: PoolSnapshot) -> None:
        """A pool of theirs."""
        _, requests = self._found.setdefault(workers.executor, (workers, Counter()))
        requests[pool.label] += sum(1 for request in pool.requests if request.held is not None)

    def snapshots(self) -> tuple[ExecutorSnapshot, ...]:
        """One for each executor."""
        return tuple(
            ExecutorSnapshot(
                threads=workers.maximum,
                waiting=workers.waiting,
                requests=requests.total(),
                pools=tuple(label for label, _ in requests.most_common()),
            )
            for workers, requests in self._found.values()
        )

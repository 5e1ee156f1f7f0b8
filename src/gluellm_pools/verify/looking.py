"""A look at a store: one moment, one window, perhaps one service."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from . import naming
from .asking import Store
from .naming import Stored
from .rows import number_of


class Look:
    """What the questions have in common. Raises RefusedError, CannotAskError."""

    def __init__(self, store: Store, window: float, service: str | None) -> None:
        self.store = store
        self.window = window
        self.service = service
        self.now = number_of(next(iter(store.query("time()")), {}))
        """The store's clock."""
        self.range = f"{max(int(window), 1)}s"

    def names(self, start: float, end: float) -> list[str]:
        """Names of metrics that concern us."""
        return self.store.label_values(
            "__name__",
            **{"match[]": f'{{__name__=~"{naming.NAMES}"}}'},
            start=f"{start:.0f}",
            end=f"{end + 1:.0f}",  # samples of this very second included
        )

    def rows(self, expression: str) -> list[dict[str, Any]]:
        """The answer to a query at this moment."""
        return self.store.query(expression, self.now)


def counted_names(found: Sequence[Stored], metrics: Iterable[semconv.Metric]) -> list[str]:
    """The names that some metrics are stored under."""
    wanted = list(metrics)
    return [one.counted for one in found if one.metric in wanted]

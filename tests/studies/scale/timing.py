"""How long each query takes: at first, on a server that just started, and again."""

import functools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import promql_parser

from .queries import Asked
from .store import Answer, BlockStore

P95_BUDGET: Final = 1.0
"""Seconds: of all queries of all boards, when the server is warm."""
FLEET_BUDGET: Final = 0.5
"""Seconds: of each query of the fleet's board."""


@dataclass(frozen=True, slots=True)
class Timed:
    """One query, and its times in seconds."""

    asked: Asked
    cold: Answer
    warm: Sequence[Answer]
    touched: int
    """Series that match its selectors at its end."""

    @property
    def median(self) -> float:
        """Of the warm ones."""
        return statistics.median(one.seconds for one in self.warm)

    @property
    def processor(self) -> float:
        """The least that Prometheus computed for one of the warm ones."""
        return min(one.processor for one in self.warm)

    @property
    def error(self) -> str:
        """What Prometheus said, where it refused."""
        return (
            self.asked.fault
            or self.cold.error
            or next((one.error for one in self.warm if one.error), "")
        )


def timed(store: BlockStore, asked: Iterable[Asked], repeats: int) -> list[Timed]:
    """Start the store anew, ask everything once, in order, and then so often again."""
    store.forget()

    @functools.cache
    def touched(selector: str, at: int) -> int:
        rows = store.query(f"count({selector})", at)
        return int(rows[0]["value"][1]) if rows else 0

    with store:
        queries = list(dict.fromkeys(asked))
        rounds = [
            [store.timed(one.path, one.parameters) for one in queries] for _ in range(1 + repeats)
        ]
        return [
            Timed(
                one, first, again, sum(touched(each, one.end) for each in selectors(one.expression))
            )
            for one, (first, *again) in zip(queries, zip(*rounds, strict=True), strict=True)
        ]


def selectors(expression: str) -> set[str]:
    """The vector selectors of a query; none of an empty one."""
    found: set[str] = set()

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.add(node.prettify())
        elif isinstance(node, promql_parser.MatrixSelector):
            found.add(node.vector_selector.prettify())

    if expression:
        promql_parser.walk(promql_parser.parse(expression), visit)
    return found


def share(times: Sequence[float], part: float) -> float:
    """The time within which this part of the queries is answered."""
    ordered = sorted(times)
    return ordered[max(0, -int(-len(ordered) * part // 1) - 1)]

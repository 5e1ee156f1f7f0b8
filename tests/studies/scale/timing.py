"""How long each query takes: at first, on a server that just started, and again."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from studies.tables import table

from .queries import Asked
from .store import Answer, BlockStore

P95_BUDGET: Final = 1.0
"""Seconds: of all queries of all boards, when the server is warm."""
FLEET_BUDGET: Final = 0.5
"""Seconds: of each query of the fleet's board."""
VERDICTS: Final = {True: "met", False: "NOT MET"}
_FLEET: Final = "gluellm-fleet"
_TITLE_WIDTH: Final = 44


@dataclass(frozen=True, slots=True)
class Timed:
    """One query, and its times in seconds."""

    asked: Asked
    cold: Answer
    warm: Sequence[Answer]

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
        """Why Prometheus refused; empty if it did not."""
        errors = (answer.error for answer in (self.cold, *self.warm))
        return self.asked.fault or next(filter(None, errors), "")


def timed(store: BlockStore, asked: Iterable[Asked], repeats: int) -> list[Timed]:
    """Start the store anew, ask everything once, in order, and then so often again."""
    store.forget()
    with store:
        queries = list(dict.fromkeys(asked))
        rounds = [
            [store.timed(one.path, one.parameters) for one in queries] for _ in range(1 + repeats)
        ]
        answers = zip(queries, zip(*rounds, strict=True), strict=True)
        return [Timed(one, first, again) for one, (first, *again) in answers]


def of_queries(queries: Sequence[Timed]) -> str:
    """All queries, the slowest first, and what it takes Prometheus to open each board, once."""
    rows = [("board", "panel", "step", "samples", "cold ms", "ms", "CPU ms", "")]
    computed: Counter[str] = Counter()
    for one in sorted(queries, key=lambda timed: -timed.median):
        cold, warm, processor = (
            f"{seconds * 1000:.0f}" for seconds in (one.cold.seconds, one.median, one.processor)
        )
        step = f"{one.asked.step} s" if one.asked.step else "-"
        shown = one.asked.board, one.asked.panel[:_TITLE_WIDTH], step, str(one.warm[0].samples)
        rows.append((*shown, cold, warm, processor, one.error[:80]))
        computed[one.asked.board] += one.processor  # type: ignore[assignment]
    costs = ", ".join(f"{board} {seconds:.1f} s" for board, seconds in sorted(computed.items()))
    return f"{table(rows, left=2)}\nProcessor time for all queries of a board: {costs}."


def summary(queries: Sequence[Timed]) -> tuple[str, bool]:
    """The budgets beside what was measured, and whether they are met."""
    pairs = ((one.median, one.cold.seconds) for one in queries)
    medians, cold = (sorted(t) for t in zip(*pairs, strict=True))
    p95, slow = (times[-int(-len(times) * 95 // 100) - 1] for times in (medians, cold))
    worst = max(queries, key=lambda one: one.median)
    fleet = [one for one in queries if one.asked.board == _FLEET]
    errors = [one for one in queries if one.error]
    verdict, p50 = VERDICTS[p95 <= P95_BUDGET], statistics.median(medians)
    budget = f"(budget {_ms(P95_BUDGET)}: {verdict})"
    lines = [
        f"{len(queries)} queries: p50 {_ms(p50)}, p95 {_ms(p95)} {budget}; cold p95 {_ms(slow)}.",
        f"The slowest: {_ms(worst.median)}, {worst.asked.board}: {worst.asked.panel}.",
    ]
    met = p95 <= P95_BUDGET and not errors
    if fleet:
        slowest = max(fleet, key=lambda one: one.median)
        within = slowest.median <= FLEET_BUDGET
        met = met and within
        lines.append(
            f"The fleet's slowest: {_ms(slowest.median)} (budget {_ms(FLEET_BUDGET)}: "
            f"{VERDICTS[within]}), {slowest.asked.panel}."
        )
    lines += [f"REFUSED {one.asked.board}: {one.asked.panel}: {one.error}" for one in errors]
    return "\n".join(lines), met


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"

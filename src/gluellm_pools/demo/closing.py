"""The closing table: what the metrics, the callers and the providers counted, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from ..fake_provider import Counts
from ..render import counts_text, wait_texts
from ..view import PoolView
from .load import Tally


@dataclass(frozen=True, slots=True)
class Row:
    """One pool, counted three times."""

    label: str
    pool: PoolView
    tally: Tally
    counts: Counts
    refused: int = 0
    """Requests that had a connection and were refused by the client's own HTTP/2 state."""

    @property
    def reached(self) -> int:
        return self.pool.reached - self.refused

    @property
    def reused(self) -> int:
        return self.pool.reused - self.refused

    def disagreements(self) -> list[str]:
        """Numbers that should be equal and are not, in words."""
        pool, tally, counts = self.pool, self.tally, self.counts
        compared = (
            ("requests", pool.requests, "the callers sent", tally.sent),
            ("failed requests", pool.failed, "the callers saw", tally.failed),
            ("requests that reached the provider", self.reached, "it received", counts.requests),
            ("connections opened", pool.opened, "the provider accepted", counts.connections),
            ("requests on reused connections", self.reused, "the provider saw", counts.reused),
        )
        return [
            f"{self.label}: the metrics count {ours} {what}, {who} {theirs}"
            for what, ours, who, theirs in compared
            if ours != theirs
        ]


def disagreements(rows: Sequence[Row]) -> list[str]:
    return [line for row in rows for line in row.disagreements()]


_NUMBERS = ("sent", "failed", "reached", "opened", "reused")


def closing_table(rows: Sequence[Row], width: int) -> Table:
    """Four lines a pool: its name, and what its metrics, its callers and its provider counted."""
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False, width=width)
    table.add_column("pool\n  counted by", no_wrap=True)
    for name in _NUMBERS:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("timeouts", min_width=8, overflow="fold")
    table.add_column("wait in s\np50/p95/p99", min_width=11, no_wrap=True)
    for row in rows:
        pool, tally, counts = row.pool, row.tally, row.counts
        waits = "/".join(text.removesuffix(" s") for text in wait_texts(pool.wait))
        numbers = (pool.requests, pool.failed, row.reached, pool.opened, row.reused)
        table.add_row(Text(row.label, style="bold"))
        table.add_row("  metrics", *map(str, numbers), counts_text(pool.timeouts), waits)
        table.add_row("  callers", str(tally.sent), str(tally.failed))
        provider = (counts.requests, counts.connections, counts.reused)
        table.add_row("  provider", "", "", *map(str, provider))
    return table

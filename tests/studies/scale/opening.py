"""Measures how long Prometheus takes for Grafana's queries when a board is opened."""

import json
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from preview import asking
from preview.filling import Span, seconds

from .store import BlockStore

P95_BUDGET: Final = 1.0
"""Seconds for 95 % of all queries of all boards, on a warm server."""
FLEET: Final = "gluellm-fleet"
FLEET_BUDGET: Final = 0.5
"""Seconds for each query of the fleet's board."""
_COLUMN: Final = 1840 / 24
"""Pixels: a board in a window of 1 920 has 1 840, in 24 columns."""
_TIMES: Final = 4
"""How often a board is opened; the medians exclude the first time, when the server is cold."""


@dataclass(frozen=True)
class Timing(asking.Store):
    """A client of Prometheus that records the time of each answer."""

    times: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds by query."""

    def ask(self, path: str, **parameters: str) -> Any:
        what = parameters.get("query") or parameters.get("match[]", "")
        began = time.perf_counter()
        try:
            return super().ask(path, **parameters)
        finally:
            self.times[f"{path} {what}"].append(time.perf_counter() - began)


@dataclass(frozen=True, slots=True)
class Opened:
    """A board that was opened several times."""

    board: str
    times: Mapping[str, float]
    """Median seconds of each query."""
    processor: float = 0.0
    """The least CPU seconds that Prometheus took to open it."""
    refused: Sequence[str] = ()


def ask_all(
    board: Mapping[str, Any], store: asking.Store, end: int, given: Mapping[str, str]
) -> list[str]:
    """Send all requests of a board for its time range up to ``end``. Return what was refused.

    ``given`` has values of variables, where the board has these.
    """
    span = Span(end - seconds(board["time"]["from"].removeprefix("now-")), end)
    names = {variable["name"] for variable in board["templating"]["list"]}
    chosen = {name: value for name, value in given.items() if name in names}
    values = {one.name: one.value for one in asking.variables(board, chosen, store, span)}
    list(asking.marks(board, values, store, span))
    in_rows = [panel for row in board["panels"] for panel in row.get("panels", ())]
    whole = {**board, "panels": [*board["panels"], *in_rows]}
    panels = asking.panels(whole, values, store, span, _COLUMN)
    return [f"{panel['title']}: {panel['error']}" for panel in panels if panel["error"]]


def opened(file: Path, store: BlockStore, end: int, given: Mapping[str, str]) -> Opened:
    """Open the board of a file several times."""
    board = json.loads(file.read_text())
    timing, process = Timing(store.url), psutil.Process(store.pid)
    computed, refused = [], []
    for number in range(_TIMES):
        if number == 1:
            timing.times.clear()
        before = process.cpu_times()
        refused = ask_all(board, timing, end, given)
        after = process.cpu_times()
        computed.append(after.user + after.system - before.user - before.system)
    medians = {what: statistics.median(times) for what, times in timing.times.items()}
    return Opened(file.stem, medians, min(computed), refused)


def slowest_first(boards: Sequence[Opened]) -> list[tuple[float, str]]:
    """The time of each query and its text, slowest first."""
    found = ((took, f"{one.board}: {what}") for one in boards for what, took in one.times.items())
    return sorted(found, reverse=True)


def p95(boards: Sequence[Opened]) -> float:
    """Seconds within which 95 % of the queries are answered."""
    times = sorted(took for took, _ in slowest_first(boards))
    return times[math.ceil(0.95 * len(times)) - 1]


def missed(boards: Sequence[Opened]) -> list[str]:
    """Budgets that are not met, and queries that were refused."""
    found = [f"{one.board}: {refused}" for one in boards for refused in one.refused]
    if p95(boards) > P95_BUDGET:
        found.append(f"p95 of the queries: {p95(boards):.2f} s, more than {P95_BUDGET:g} s")
    fleet = slowest_first([one for one in boards if one.board == FLEET])
    found += [
        f"{took:.2f} s, more than {FLEET_BUDGET:g} s: {what}"
        for took, what in fleet
        if took > FLEET_BUDGET
    ]
    return found

"""One act on the screen: redrawn in place on a terminal, as lines anywhere else."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..render import PHASE_MARKS, health_lines, row_block, row_label, view_lines
from ..screens import live_area, redraws
from ..view import Key, View
from .verdict import short

_REFRESH = 1.0
_LONGEST_LINE = 1000
_VERDICT_LINES = 5
_OWNERS = (
    ("pool", ("queued",)),
    ("provider", ("awaiting_response", "reading")),
    ("you", ("unread",)),
)


@dataclass
class Screen:
    """Shows the frames of one act."""

    console: Console
    heading: str
    line: str
    at_length: Sequence[Key]
    """Calls and pools that are shown at length; the other pools get a line each."""

    def __post_init__(self) -> None:
        self._live = live_area(self.console) if redraws(self.console) else None
        self.interval = _REFRESH if self._live is not None else math.inf
        """Seconds between two frames; as lines, only the last one is shown."""

    def __enter__(self) -> Self:
        self.console.print("")
        if self._live is None:
            self.console.print(f"{self.heading}. {self.line}")
        else:
            # Above the live area: log lines go between the two.
            self.console.print(Text(f"{self.heading}\n{self.line}", "bold"))
            self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.__exit__(None, None, None)

    def show(self, elapsed: float, verdict: Mapping[str, str], view: View) -> None:
        """Show a frame; the last one stays."""
        if self._live is not None:
            progress = Text(f"{elapsed:.0f} s", style="dim")
            pools = self._pools(view)
            frame = Group(progress, self._verdict(verdict), *pools, *_legend())
            self._live.update(frame, refresh=True)
            return
        for line in view_lines(replace(view, findings={})):
            self.console.print(f"{elapsed:5.1f} s  {line}")
        for label, text in verdict.items():
            self.console.print(f"{label}: {short(text, _LONGEST_LINE)}")

    def _verdict(self, verdict: Mapping[str, str]) -> Table:
        grid = Table.grid(padding=(0, 2))
        room = self.console.width - max(map(len, verdict)) - 4
        for label, text in verdict.items():
            grid.add_row(Text(label, "bold"), Text(_whole(text, _VERDICT_LINES * room)))
        return grid

    def _pools(self, view: View) -> list[RenderableType]:
        width, pools = self.console.width, view.busy().pools
        rows = dict(view.rows())
        blocks = [row_block(key, rows[key], width) for key in self.at_length if key in rows]
        others = [
            Text(
                f"compare {row_label(key)}: {pool.requests} requests, {pool.failed} with errors",
                no_wrap=True,
                overflow="ellipsis",
            )
            for key, pool in pools.items()
            if key not in self.at_length
        ]
        doubts = [Text(short(line, width), style="yellow") for line in health_lines(view)]
        return [*blocks, *others, *doubts]


def _legend() -> list[Text]:
    """What the bars mean, and whose time a phase is."""
    line = Text(" time: ", "dim")
    for number, (owner, phases) in enumerate(_OWNERS):
        line.append(f"{' | ' if number else ''}{owner}", "dim")
        for phase in phases:
            mark, style = PHASE_MARKS[phase]
            line.append(f" {mark}", style).append(f" {phase}", "dim")
    return [Text(" connections: █ active  ▒ connecting  ▓ idle  · free", "dim"), line]


def _whole(text: str, longest: int) -> str:
    """Shorten a text, if possible at the end of a sentence or of a part of one."""
    whole = short(text, _LONGEST_LINE)
    if len(whole) <= longest:
        return whole
    ends = [end.start() for end in re.finditer(r"[.;] ", whole) if end.start() < longest]
    return f"{whole[: ends[-1]]}." if ends else short(text, longest)

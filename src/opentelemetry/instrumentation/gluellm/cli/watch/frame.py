"""A frame of the live view that fits the terminal: blocks while there is room, then short lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.text import Text

from ..render import pool_block, pool_summary
from ..view import PoolKey, PoolView
from .processes import Process
from .show import MOST_POOLS, doubts, heading, pools_of


@dataclass(slots=True)
class _Section:
    """One process."""

    title: Text
    pools: list[tuple[PoolKey, PoolView]]
    doubts: list[Text]
    silent: bool
    blocks: dict[PoolKey, Text] = field(default_factory=dict)
    """The pools that are shown at length."""

    def rows(self) -> Iterable[Text]:
        yield self.title
        for key, pool in self.pools:
            yield self.blocks.get(key) or _summary(key, pool)
        yield from self.doubts
        yield Text()


def frame(
    console: Console, processes: Iterable[Process], head: Sequence[Text], foot: Sequence[Text]
) -> RenderableType:
    """Everything about all processes, between head and foot."""
    heard_first = sorted(processes, key=lambda process: process.silent)
    sections = [_section(process) for process in heard_first]
    room = console.height - 1 - _height(console, [*head, *foot])
    _choose_blocks(console, sections, room)
    rows = [row for section in sections for row in section.rows()]
    return Group(*head, *_cut(console, rows, room), *foot)


def _section(process: Process) -> _Section:
    pools, view = pools_of(process)
    below = [Text(line, style="yellow") for line in doubts(process, view)]
    if len(pools) > MOST_POOLS:
        below.insert(0, Text(f"and {len(pools) - MOST_POOLS} more pools", style="dim"))
    style = "bold yellow" if process.silent else "bold"
    return _Section(Text(heading(process), style=style), pools[:MOST_POOLS], below, process.silent)


def _choose_blocks(console: Console, sections: Sequence[_Section], room: int) -> None:
    """Show at length as many pools as there is room for: of who is heard, those with waiters."""
    room -= _height(console, [row for section in sections for row in section.rows()])
    candidates = [(section, key, pool) for section in sections for key, pool in section.pools]
    candidates.sort(key=lambda found: (found[0].silent, -found[2].oldest_waiter))
    for section, key, pool in candidates:
        block = pool_block(key, pool, console.width)
        room -= block.plain.count("\n")  # its first line is there already
        if room < 0:
            return
        section.blocks[key] = block


def _cut(console: Console, rows: Sequence[Text], room: int) -> Iterable[Text]:
    """As many rows as there is room for, and how many are missing."""
    if _height(console, rows) <= room:
        return rows
    kept: list[Text] = []
    room -= 1
    for row in rows:
        room -= _height(console, [row])
        if room < 0:
            break
        kept.append(row)
    return [*kept, Text(f"{len(rows) - len(kept)} more; make the terminal taller", style="dim")]


def _summary(key: PoolKey, pool: PoolView) -> Text:
    return Text(pool_summary(key, pool), no_wrap=True, overflow="ellipsis")


def _height(console: Console, rows: Iterable[Text]) -> int:
    """Lines on the terminal."""
    return sum(
        row.plain.count("\n") + 1 if row.no_wrap else len(row.wrap(console, console.width))
        for row in rows
    )

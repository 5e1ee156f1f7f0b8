"""A frame of the live view that fits the terminal: blocks while there is room, then short lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.text import Text

from opentelemetry.instrumentation.gluellm.text import counted

from ..render import pool_block, pool_summary
from ..verdicts import late, reading, severity, suffers
from ..view import PoolKey, PoolView
from .processes import Process
from .show import MIXED, MOST_POOLS, doubts, heading, pools_of


@dataclass(slots=True)
class _Section:
    """One process."""

    title: list[Text]
    pools: list[tuple[PoolKey, PoolView]]
    doubts: list[Text]
    silent: bool
    mixed: bool
    doubtful: bool
    blocks: dict[PoolKey, Text] = field(default_factory=dict)
    """The pools that are shown at length."""

    @property
    def severity(self) -> tuple[int, ...]:
        """Of the pool that suffers most."""
        return max((severity(pool) for _, pool in self.pools), default=(0, 0, 0, 0))

    def means(self, pool: PoolView) -> str | None:
        """Numbers of two processes mean nothing, and those of a silent one are of the past."""
        return None if self.mixed or self.silent else reading(pool, doubtful=self.doubtful)

    def rows(self) -> Iterable[Text]:
        yield from self.title
        for key, pool in self.pools:
            if key in self.blocks:
                yield self.blocks[key]
            else:
                yield from self._short(key, pool)
        yield from self.doubts

    def block(self, key: PoolKey, pool: PoolView, width: int) -> Text:
        return self._dimmed(pool_block(key, pool, width, self.means(pool)))

    def _short(self, key: PoolKey, pool: PoolView) -> Iterable[Text]:
        yield self._dimmed(_one_line(pool_summary(key, pool)))
        means = self.means(pool)
        if means:
            yield _one_line(f"  means: {means}", "red")

    def _dimmed(self, text: Text) -> Text:
        return _one_line(text.plain, "dim") if self.mixed else text


def frame(
    console: Console, processes: Iterable[Process], head: Sequence[Text], foot: Sequence[Text]
) -> RenderableType:
    """Everything about all processes, between head and foot: first who is heard and suffers."""
    sections = [_section(process) for process in processes]
    sections.sort(key=lambda section: (not section.silent, section.severity), reverse=True)
    room = console.height - 1 - _height(console, [*head, *foot])
    between = len(sections)
    _choose_blocks(console, sections, room, between if _fits(console, sections, room) else 0)
    apart = _fits(console, sections, room)
    return Group(*head, *_fitting(console, sections, room, apart=apart), *foot)


def _section(process: Process) -> _Section:
    pools, view = pools_of(process)
    mixed = process.clashes
    style = "bold yellow" if process.silent or mixed else "bold"
    title = [Text(heading(process), style=style)]
    if mixed:
        title.append(Text(MIXED, style="yellow"))
    below = [Text(line, style="yellow") for line in doubts(process, view)]
    if len(pools) > MOST_POOLS:
        below.insert(0, Text(f"and {len(pools) - MOST_POOLS} more pools", style="dim"))
    return _Section(title, pools[:MOST_POOLS], below, process.silent, mixed, late(view))


def _fits(console: Console, sections: Sequence[_Section], room: int) -> bool:
    """Whether there is room for all, with a line between them."""
    return _lines(console, sections) + len(sections) <= room


def _choose_blocks(console: Console, sections: Sequence[_Section], room: int, between: int) -> None:
    """Show at length as many pools as there is room for, those that suffer first.

    The first of these is shown at length even if others must be cut for it: it needs the eyes.
    """
    left = room - between - _lines(console, sections)
    found = [(section, key, pool) for section in sections for key, pool in section.pools]
    found.sort(key=lambda one: (not one[0].silent, severity(one[2])), reverse=True)
    for place, (section, key, pool) in enumerate(found):
        block = section.block(key, pool, console.width)
        short = _height(console, section.rows())
        section.blocks[key] = block
        left -= _height(console, section.rows()) - short
        needed = place == 0 and suffers(pool) and not section.silent
        if left < 0 and not (needed and _height(console, section.rows()) < room):
            del section.blocks[key]
            return


def _fitting(
    console: Console, sections: Sequence[_Section], room: int, *, apart: bool
) -> Iterable[Text]:
    """As many rows as there is room for, and how much is missing."""
    rows = [(n, row) for n, section in enumerate(sections) for row in _rows(section, apart=apart)]
    if _height(console, [row for _, row in rows]) <= room:
        return [row for _, row in rows]
    kept: list[Text] = []
    room -= 1
    for _, row in rows:
        room -= _height(console, [row])
        if room < 0:
            break
        kept.append(row)
    cut = rows[len(kept) :]
    lines = counted(_height(console, [row for _, row in cut]), "more line")
    sections_cut = len({n for n, _ in cut})
    of = "1 process" if sections_cut == 1 else f"{sections_cut} processes"
    return [*kept, _one_line(f"{lines} of {of}; make the terminal taller", "dim")]


def _rows(section: _Section, *, apart: bool) -> Iterable[Text]:
    yield from section.rows()
    if apart:
        yield Text()


def _one_line(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _lines(console: Console, sections: Iterable[_Section]) -> int:
    return sum(_height(console, section.rows()) for section in sections)


def _height(console: Console, rows: Iterable[Text]) -> int:
    """Lines on the terminal."""
    return sum(
        row.plain.count("\n") + 1 if row.no_wrap else len(row.wrap(console, console.width))
        for row in rows
    )

"""The two ways to show something that changes: in place on a terminal, as lines anywhere else."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live


def redraws(console: Console) -> bool:
    """Whether lines can be drawn over."""
    return console.is_terminal and not console.is_dumb_terminal


def print_line(console: Console, line: str, style: str | None = None) -> None:
    """Print as it is: no markup, no highlighting, and no wrapping where no terminal is."""
    soft = not console.is_terminal  # one line for whoever reads lines
    console.print(line, style=style, markup=False, highlight=False, soft_wrap=soft)


class LiveArea:
    """A part of the terminal that is redrawn on `draw`, cropped to its height."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def draw(self, what: RenderableType) -> None:
        self._live.update(what, refresh=True)

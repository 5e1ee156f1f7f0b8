"""The two ways to show something that changes: in place on a terminal, as lines anywhere else."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live


class Terminal(Console):
    """The standard output. Text of others is printed in it: names like ``a:fire:b`` stay so."""

    def __init__(self) -> None:
        super().__init__(markup=False, emoji=False)

    def on_broken_pipe(self) -> None:
        """Leave it to the command, which has an exit status for it; rich would exit with 1."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def forget_output() -> None:
    """Keep the interpreter from writing at its end what can't be written, and failing again."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())


def redraws(console: Console) -> bool:
    """Whether lines can be drawn over."""
    return console.is_terminal and not console.is_dumb_terminal


def print_line(console: Console, line: str, style: str | None = None) -> None:
    """Print as it is: no markup, no highlighting, and no wrapping where no terminal is."""
    soft = not console.is_terminal  # one line for whoever reads lines
    console.print(line, style=style, markup=False, highlight=False, emoji=False, soft_wrap=soft)


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

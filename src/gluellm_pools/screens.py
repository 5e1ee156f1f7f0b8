"""Output that changes: redrawn in place on a terminal, lines anywhere else."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.live import Live


class Terminal(Console):
    """Standard output. Text is printed as it is: names such as ``a:fire:b`` have no markup.

    Lines are wrapped on a terminal only.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, highlight=False, emoji=False, **options)
        self.soft_wrap = not self.is_terminal

    def on_broken_pipe(self) -> None:
        """Raise the error, for which the command has an exit status; rich would exit with 1."""
        raise BrokenPipeError


def redraws(console: Console) -> bool:
    """Whether printed lines can be replaced."""
    return console.is_terminal and not console.is_dumb_terminal


def live_area(console: Console) -> Live:
    """Return a part of the terminal that `update` redraws, cropped to the terminal's height."""
    return Live(console=console, auto_refresh=False, vertical_overflow="crop")

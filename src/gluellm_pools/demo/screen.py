"""Where an act is shown: live on a terminal, as lines anywhere else."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.text import Text

from ..render import view_blocks, view_lines
from ..screens import LiveArea, print_line
from ..view import View

_REFRESH = 0.25
_LINES_PER_ACT = 3
_SHORTEST_INTERVAL = 0.5


class Screen(Protocol):
    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    interval: float
    """Seconds between two calls of `show`."""

    def show(self, act: View) -> None:
        """Show what the metrics say about the act so far."""


class LiveScreen(LiveArea):
    """Redraws in place, four times a second."""

    def __init__(self, console: Console, name: str, line: str, where: str, duration: float) -> None:
        super().__init__(console)
        self._console = console
        self._heading = Text.assemble((f"{where}: {name}", "bold reverse"), "\n", (line, "italic"))
        self._name = name
        self._duration = duration
        self._began = time.monotonic()
        self.interval = _REFRESH

    def __enter__(self) -> Self:
        # Above what changes, so that what is logged meanwhile comes below it.
        self._console.print()
        self._console.print(self._heading)
        return super().__enter__()

    def show(self, act: View) -> None:
        elapsed = min(time.monotonic() - self._began, self._duration)
        title = Text(f"{self._name}, {elapsed:.0f} of {self._duration:.0f} s", style="bold")
        blocks = view_blocks(act.busy(), self._console.width)
        self.draw(Group(title, blocks))


class PlainScreen:
    """A few lines an act, for logs and pipes."""

    def __init__(self, console: Console, name: str, line: str, where: str, duration: float) -> None:
        self._console = console
        self._heading = f"{where}: {name}. {line}"
        self._began = time.monotonic()
        self.interval = max(_SHORTEST_INTERVAL, duration / _LINES_PER_ACT)

    def __enter__(self) -> Self:
        print_line(self._console, "")
        print_line(self._console, self._heading)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def show(self, act: View) -> None:
        elapsed = time.monotonic() - self._began
        for line in view_lines(act):
            print_line(self._console, f"{elapsed:5.1f} s  {line}")

"""Where the watch shows what comes: live on a terminal, as lines anywhere else."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.text import Text

from ..screens import LiveArea, print_line
from .frame import frame
from .intake import Intake
from .notes import Notes
from .processes import Process
from .show import LEGEND, heading, name_of, process_lines, unshown_lines, waiting_lines

_LOG_LINES = 4
_LINES_EVERY = 5.0
"""Seconds between two reports of a process on anything but a terminal, at least."""


class Screen(Protocol):
    interval: float
    """Seconds between two calls of `show`."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def show(self) -> None:
        """Show what is there."""

    def close(self) -> None:
        """Tell what is yet untold."""


class LiveScreen(LiveArea):
    """Redraws in place."""

    def __init__(self, console: Console, url: str, intake: Intake, notes: Notes) -> None:
        super().__init__(console)
        self.interval = 0.5
        self._console = console
        self._url = url
        self._intake = intake
        self._notes = notes
        self._logged: deque[str] = deque(maxlen=_LOG_LINES)

    def show(self) -> None:
        intake = self._intake
        self._logged += _taken(intake.logs)
        head = [Text(f"Listening on {self._url} for OTLP/HTTP. Ctrl-C ends.", style="bold")]
        if not len(intake.processes):
            head += [Text(line) for line in waiting_lines(self._url)]
        else:
            head.append(Text(LEGEND, style="dim"))
        head.append(Text())
        foot = [Text(f"logged: {line}", style="yellow") for line in self._logged]
        foot += [Text(line, style="red") for line in self._notes.lines()]
        foot += [Text(line, style="dim") for line in unshown_lines(intake)]
        self.draw(frame(self._console, intake.processes, head, foot))

    def close(self) -> None:
        self.show()


class PlainScreen:
    """Lines: of each process after it exported, and of what happens besides as it happens."""

    def __init__(
        self,
        console: Console,
        url: str,
        intake: Intake,
        notes: Notes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval = 0.5
        self._console = console
        self._url = url
        self._intake = intake
        self._notes = notes
        self._clock = clock
        self._told: dict[Process, tuple[float, float]] = {}
        """When each was told, and what had last been heard of it then."""
        self._silent: set[Process] = set()

    def __enter__(self) -> Self:
        self._print(f"Listening on {self._url} for OTLP/HTTP. Ctrl-C ends.")
        for line in waiting_lines(self._url):
            self._print(line)
        self._print(LEGEND)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def show(self) -> None:
        self._show(at_once=False)

    def close(self) -> None:
        self._show(at_once=True)
        for line in unshown_lines(self._intake):
            self._print(line)

    def _show(self, *, at_once: bool) -> None:
        for line in self._notes.fresh():
            self._print(line)
        for line in _taken(self._intake.logs):
            self._print(f"logged: {line}")
        processes = list(self._intake.processes)
        for process in [process for process in self._told if process not in processes]:
            del self._told[process]
            self._silent.discard(process)
            self._print(f"{name_of(process)}: gone")
        now = self._clock()
        for process in processes:
            logged_at, heard = self._told.get(process, (now - _LINES_EVERY, -1.0))
            if process.heard > heard and (at_once or now - logged_at >= _LINES_EVERY):
                self._silent.discard(process)
                self._told[process] = (now, process.heard)
                for line in process_lines(process):
                    self._print(line)
            elif process.silent and process not in self._silent:
                self._silent.add(process)
                self._print(heading(process))

    def _print(self, line: str) -> None:
        print_line(self._console, line)


def _taken(lines: deque[str]) -> list[str]:
    taken = list(lines)
    lines.clear()
    return taken

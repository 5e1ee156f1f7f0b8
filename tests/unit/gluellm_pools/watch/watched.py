"""What a watch has, without a network."""

from __future__ import annotations

import io

from rich.console import Console

from gluellm_pools.watch.display import PlainScreen
from gluellm_pools.watch.intake import Intake
from gluellm_pools.watch.notes import Notes
from gluellm_pools.watch.processes import Process, Processes
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.otlp import LATER, SECOND, metrics_request, number

URL = "http://127.0.0.1:4318"


class Watched:
    """An intake, notes and a console whose clock the test sets."""

    def __init__(self, width: int = 80, height: int = 40, *, terminal: bool = False) -> None:
        self.now = 1000.0
        self.intake = Intake(Processes(lambda: self.now))
        self.notes = Notes(lambda: self.now)
        self.out = io.StringIO()
        plain = {"color_system": None, "force_terminal": terminal, "legacy_windows": False}
        self.console = Console(file=self.out, width=width, height=height, **plain)

    def plain(self) -> PlainScreen:
        return PlainScreen(self.console, URL, self.intake, self.notes, lambda: self.now)

    def export(self, *names: str, time: int | None = None, **resource: object) -> None:
        """A request in each of these pools."""
        time = LATER + int((self.now - 1000) * SECOND) if time is None else time
        metrics = [number(semconv.REQUESTS, 5, time, gluellm__pool__name=name) for name in names]
        self.intake.take(metrics_request(*metrics, **resource))

    @property
    def process(self) -> Process:
        (only,) = self.intake.processes
        return only

    def said(self) -> list[str]:
        """Lines since the last call."""
        text = self.out.getvalue()
        self.out.seek(0)
        self.out.truncate()
        return text.splitlines()

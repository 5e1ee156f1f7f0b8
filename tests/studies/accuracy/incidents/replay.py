"""A replay: stores, services, what went wrong when, and what fired."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from e2e.compose import DEV
from e2e.programs import Alertmanager

from .catalogue import INCIDENTS
from .service import Service
from .store import AlertingPrometheus

_NAMES: Final = (
    "apple",
    "apricot",
    "blackberry",
    "cherry",
    "currant",
    "damson",
    "elderberry",
    "fig",
    "gooseberry",
    "grape",
    "medlar",
    "mulberry",
    "peach",
    "pear",
    "plum",
    "quince",
)
_BESIDE: Final = 3
"""Processes that start at once: each needs a processor for about two seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds."""

    interval: float
    """Between two exports."""
    healthy: float
    """Before it goes wrong."""
    wrong: float
    """After it went wrong."""


class Replay:
    """Services that run in front of a Prometheus."""

    def __init__(self, folder: Path, incidents: Sequence[str], timing: Timing, seed: int) -> None:
        self.timing = timing
        self.folder = folder
        self.alertmanager = Alertmanager(
            "alertmanager", folder, DEV / "alertmanager" / "alertmanager.yaml"
        )
        self.prometheus = AlertingPrometheus("prometheus", folder)
        self.began: float | None = None
        """When the services were all there, in seconds since the epoch."""
        names = random.Random(f"{seed}/names").sample(_NAMES, len(incidents))
        self.services = [
            Service(
                name,
                INCIDENTS[incident],
                seed=seed,
                endpoint=self.prometheus.otlp_endpoint,
                interval=timing.interval,
                folder=folder,
            )
            for name, incident in zip(names, incidents, strict=True)
        ]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Stores and services; both have ended when the context is left."""
        with contextlib.ExitStack() as exits:
            exits.callback(self.alertmanager.stop)
            self.alertmanager.start()
            exits.callback(self.prometheus.stop)
            self.prometheus.alert(self.alertmanager)
            self.prometheus.start()
            for first in range(0, len(self.services), _BESIDE):
                some = self.services[first : first + _BESIDE]
                for service in some:
                    exits.callback(service.end)
                    service.launch()
                for service in some:
                    service.ready()
            self.began = time.time()
            yield

    def held_back(self) -> set[tuple[str, str]]:
        """Alerts that Alertmanager has now and tells nobody of, by service and name."""
        states: dict[tuple[str, str], set[str]] = {}
        for alert in self.alertmanager.alerts():
            key = alert["labels"].get("job", ""), alert["labels"]["alertname"]
            states.setdefault(key, set()).add(alert["status"]["state"])
        return {key for key, found in states.items() if found == {"suppressed"}}

    def play(self, say: Callable[[str], None]) -> None:
        """A time of health, then the incidents, to the end of their time."""
        say(f"well for {self.timing.healthy:.0f} s")
        time.sleep(self.timing.healthy)
        for service in self.services:
            service.begin()
        say(f"wrong for {self.timing.wrong:.0f} s")
        time.sleep(self.timing.wrong)

"""Data of the pictures in docs/: incidents of ``tests/studies``, real load into Prometheus."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from studies.accuracy.replay.replay import DATA, KeptPrometheus, Record

from .filling import Span

SCENARIOS: Final = {
    "more-traffic": ("healthy", "anthropic"),
    "pool-too-small": ("saturated", "anthropic"),
    "stream-never-read": ("leak", "openai"),
    "quota-lowered": ("rate-limited", None),
    "provider-hangs": ("hanging-provider", None),
}
"""By incident, the scenario and the provider whose boards are drawn; None: the overview only."""
_MINUTES: Final = ("--healthy", "3", "--minutes", "6")
_WARM: Final = 45
"""Seconds until rates have a whole window to look back on; the pictures begin after them."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A scenario, and where it is seen."""

    name: str
    service: str
    provider: str | None


@dataclass(frozen=True, slots=True)
class Replayed:
    """Where the scenarios' data is, all of the same time."""

    url: str
    span: Span
    interval: str
    """Between two exports."""
    scenes: tuple[Scene, ...]


def play(folder: Path) -> None:
    """Play all of them at once, one service each (about 10 min), into a new folder.

    Raises subprocess.CalledProcessError when it could not be; what was missing has been said then.
    """
    command = [
        sys.executable,
        "-m",
        "studies.accuracy.replay",
        *SCENARIOS,
        *_MINUTES,
        "--keep",
        str(folder),
    ]
    subprocess.run(command, check=True)


@contextmanager
def replayed(folder: Path) -> Iterator[Replayed]:
    """What was played into the folder, while it is served. Raises FileNotFoundError."""
    record = Record.read(folder)
    with tempfile.TemporaryDirectory(prefix="dashboard-preview-") as own:
        prometheus = KeptPrometheus("kept", Path(own), folder / DATA)
        prometheus.start()
        try:
            yield Replayed(
                url=prometheus.url,
                span=Span(record.began + _WARM, record.ended),
                interval=f"{record.interval:.0f}s",
                scenes=tuple(_scenes(record)),
            )
        finally:
            prometheus.stop()


def _scenes(record: Record) -> Iterator[Scene]:
    for service, answer, _ in record.answers:
        name, provider = SCENARIOS[answer.partition(":")[0]]
        yield Scene(name, service, provider)

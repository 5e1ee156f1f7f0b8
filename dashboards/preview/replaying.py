"""The data of the pictures in docs/: scenarios of ``make incident``, real load into Prometheus."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from incidents.replay import Replay, Timing

from .filling import Span

SCENARIOS: Final = ("healthy", "saturated", "leak")
_TIMING: Final = Timing(interval=10, healthy=180, wrong=360)
_WARM: Final = 45
"""Seconds until rates have a whole window to look back on; the pictures begin after them."""
_SEED: Final = 1


@dataclass(frozen=True, slots=True)
class Scene:
    """A scenario, and where it is seen."""

    name: str
    service: str
    provider: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """Where the scenarios' data is, all of the same time."""

    url: str
    span: Span
    interval: str
    """Between two exports."""
    scenes: tuple[Scene, ...]


@contextmanager
def replayed() -> Iterator[Replayed]:
    """Play all of them at once, one service each (about 10 min), and keep Prometheus up."""
    with tempfile.TemporaryDirectory(prefix="dashboard-preview-") as folder:
        replay = Replay(Path(folder), SCENARIOS, _TIMING, _SEED)
        with replay.running():
            replay.play(lambda text: print(text, flush=True))
            began = replay.began or 0.0
            yield Replayed(
                url=replay.prometheus.url,
                span=Span(began + _WARM, time.time()),
                interval=f"{_TIMING.interval:.0f}s",
                scenes=tuple(
                    Scene(one.incident.name, one.name, one.incident.setting.provider)
                    for one in replay.services
                ),
            )

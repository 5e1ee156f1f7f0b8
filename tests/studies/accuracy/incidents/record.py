"""What a replay leaves behind: when it was, and sealed, what was wrong in which service."""

from __future__ import annotations

import base64
import json
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .replay import Replay

_FILE: Final = "replay.json"
_SEALED: Final = "sealed"
DATA: Final = Path("prometheus") / "data"
"""Of Prometheus, below the folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Times are seconds since the epoch."""

    began: float
    ended: float
    interval: float
    """Seconds between two exports."""
    services: tuple[str, ...]
    answers: tuple[tuple[str, str, float], ...]
    """Service, what was wrong, and since when."""

    def write(self, folder: Path) -> None:
        """Into ``replay.json``, with the answers so that nobody reads them by chance."""
        body = {
            "began": self.began,
            "ended": self.ended,
            "interval": self.interval,
            "services": self.services,
        }
        (folder / _FILE).write_text(json.dumps(body, indent=2) + "\n")
        whole = zlib.compress(json.dumps(self.answers).encode())
        (folder / _SEALED).write_bytes(base64.b85encode(whole))

    @classmethod
    def read(cls, folder: Path) -> Record:
        """What was written there. Raises FileNotFoundError."""
        body = json.loads((folder / _FILE).read_text())
        whole = zlib.decompress(base64.b85decode((folder / _SEALED).read_bytes()))
        answers = tuple((name, text, at) for name, text, at in json.loads(whole))
        return cls(**{**body, "services": tuple(body["services"])}, answers=answers)

    @classmethod
    def of(cls, replay: Replay) -> Record:
        """Of a replay that is over now."""
        assert replay.began is not None
        return cls(
            began=replay.began,
            ended=time.time(),
            interval=replay.timing.interval,
            # In an order that tells nothing.
            services=tuple(sorted(service.name for service in replay.services)),
            answers=tuple(
                (
                    service.name,
                    f"{service.incident.name}: {service.incident.answer}",
                    service.began or 0.0,
                )
                for service in replay.services
            ),
        )

    def lines(self) -> list[str]:
        """The answers, to print."""
        width = max(map(len, self.services))
        return [f"{name:{width}}  {clock(at)}  {text}" for name, text, at in self.answers]


def clock(at: float) -> str:
    """A moment as Grafana's time picker takes it, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))

"""A Prometheus over blocks that outlive it."""

import http.client
import json
import os
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlencode

from e2e import compose
from e2e.running import HOST
from e2e.stores import Prometheus

from .queries import Asked

_PATIENCE: Final = 600.0
"""Seconds for one answer, and for a compaction."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What Prometheus answered, and how long that took with the body read."""

    seconds: float
    processor: float
    """Seconds that Prometheus computed meanwhile: what a busy machine leaves as it is."""
    error: str = ""
    series: int = 0
    samples: int = 0
    """As the engine counts what it looked at."""


class BlockStore(Prometheus):
    """Prometheus with the users' configuration, and its data in a folder that stays."""

    def __init__(self, folder: Path, data: Path) -> None:
        super().__init__("prometheus", folder)
        self.data = data

    def command(self, executable: Path) -> list[str]:
        return [
            str(executable),
            *compose.flags(
                "prometheus",
                config__file=str(self.configuration),
                storage__tsdb__path=str(self.data),
                web__listen_address=f"{HOST}:{self.ports['http']}",
            ),
            f"--query.timeout={_PATIENCE:.0f}s",  # promtool asks for hours of all series at once
        ]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def take_rules(self, *files: Path) -> None:
        """Evaluate these rule files, at their own intervals. Call it before the start."""
        for file in files:
            (self.folder / "rules" / file.name).write_bytes(file.read_bytes())

    def timed(self, path: str, parameters: dict[str, str]) -> Answer:
        """Ask, and time it. An error of the query is in the answer."""
        connection = http.client.HTTPConnection(HOST, self.ports["http"], timeout=_PATIENCE)
        try:
            computed = self._computed()
            began = time.perf_counter()
            connection.request("GET", f"{path}?{urlencode({**parameters, 'stats': 'all'})}")
            response = connection.getresponse()
            body = response.read()
            seconds = time.perf_counter() - began
            computed = self._computed() - computed
        finally:
            connection.close()
        content = json.loads(body)
        if response.status != 200:
            return Answer(seconds, computed, content.get("error", str(response.status)))
        return Answer(seconds, computed, "", *_counted(content["data"]))

    def _computed(self) -> float:
        # Behind the name, which is in brackets and may have spaces: utime and stime.
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def first(self, asked: Asked) -> str:
        """The first of the values that a variable asks for; empty where there is none."""
        values: list[str] = self.ask(asked.path, asked.parameters)
        return min(values, default="")

    def forget(self) -> None:
        """Let the system drop its copy of the blocks from memory. Call it while nothing runs."""
        for file in self.data.rglob("*"):
            if file.is_file():
                with file.open() as opened:
                    os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def compact(self) -> None:
        """Run until blocks of the same time have become one, as they would be in a server's life.

        Prometheus begins with that a minute after its start.
        """
        with self:
            deadline = time.monotonic() + _PATIENCE
            while _overlapping(self.data):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no compaction:\n{self.log_tail()}")
                time.sleep(2)


def _overlapping(data: Path) -> bool:
    """Whether two blocks have samples of the same time."""
    times = sorted(
        (meta["minTime"], meta["maxTime"])
        for meta in (json.loads(file.read_text()) for file in data.glob("*/meta.json"))
    )
    return any(one[1] > other[0] for one, other in pairwise(times))


def _counted(data: Any) -> tuple[int, int]:
    if not isinstance(data, dict):  # the values of a label
        return len(data), 0
    samples = data.get("stats", {}).get("samples", {}).get("totalQueryableSamples", 0)
    return len(data["result"]), samples

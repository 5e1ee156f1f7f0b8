"""A Prometheus whose blocks outlive it."""

import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Final, Self

from e2e.stores import Prometheus

_PATIENCE: Final = 600.0
"""Seconds for one answer, and for a compaction."""


class BlockStore(Prometheus):
    """Prometheus with the users' configuration, and its data in a folder that is kept."""

    def __init__(self, folder: Path, data: Path) -> None:
        super().__init__("prometheus", folder)
        self.data = data

    def command(self, executable: Path) -> list[str]:
        # promtool asks for hours of all series at once
        return [*super().command(executable), f"--query.timeout={_PATIENCE:.0f}s"]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def take_rules(self, *files: Path) -> None:
        """Evaluate these rule files, at their own intervals. Call it before the start."""
        for file in files:
            (self.folder / "rules" / file.name).write_bytes(file.read_bytes())

    def compact(self) -> None:
        """Run until overlapping blocks are merged, as in a server that runs for long.

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

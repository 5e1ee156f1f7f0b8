"""Blocks of a Prometheus, made by promtool from OpenMetrics text."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Final

from e2e.running import find
from studies.talking import FailedError

from .course import DAY, VARIANTS, Course, course, value
from .fleet import Service
from .template import Series

MINUTE: Final = 60
BLOCK: Final = 2 * 60 * MINUTE
"""Seconds of a block of Prometheus."""
_BUFFER: Final = 1 << 20


@dataclass(frozen=True)
class Samples:
    """The samples of all series of a program, a minute apart, by their course.

    ``day`` is the first second of the day that ends with the newest sample.
    """

    template: Sequence[Series]
    day: int

    @cached_property
    def courses(self) -> list[Course]:
        """All courses."""
        return [course(variant) for variant in range(VARIANTS)]

    def rows(self, series: Series, start: int, end: int) -> list[list[bytes]]:
        """For each course the lines from ``start`` until before ``end``, without the series."""
        first, last = ((second - self.day) // MINUTE for second in (start, end))
        minutes = range(max(first, 0), min(last, DAY + 1))
        opened, limit = (
            self._values.get((name, series.provider), 0)
            for name in ("gluellm_pool_connection_opened_total", "gluellm_pool_connection_max")
        )
        return [
            [
                f" {_text(value(series, course, minute, opened, limit))} "
                f"{self.day + minute * MINUTE}\n".encode()
                for minute in minutes
            ]
            for course in self.courses
        ]

    @cached_property
    def _values(self) -> dict[tuple[str, str], float]:
        return {(one.name, one.provider): one.value for one in self.template}


def write(file: Path, samples: Samples, service: Service, start: int, end: int) -> None:
    """Write the text of one service's instances, without shared labels, which promtool adds."""
    own = [_labels(instance) + "}" for instance in service.instances]
    differing = {*service.labels, *(name for one in service.instances for name in one)}
    with file.open("wb", buffering=_BUFFER) as text:
        for series in samples.template:
            rows = samples.rows(series, start, end)
            labels = {name: text for name, text in series.labels.items() if name not in differing}
            named = f"{series.name}{{{_labels(labels)}{',' if labels else ''}"
            for number, instance in enumerate(own):
                prefix = (named + instance).encode()
                text.write(prefix + prefix.join(rows[number % VARIANTS]))
        text.write(b"# EOF\n")


def create(text: Path, data: Path, *flags: str) -> None:
    """Make OpenMetrics text into blocks below ``data``."""
    promtool("create-blocks-from", "openmetrics", "--quiet", *flags, text, data)


def promtool(*arguments: str | Path, output: IO[bytes] | int = subprocess.DEVNULL) -> None:
    """``promtool tsdb``. Raises FailedError."""
    command = [find("promtool"), "tsdb", *arguments]
    done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE)
    if done.returncode:
        raise FailedError(done.stderr.decode(errors="replace")[-3000:])


def spans(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Split a time span where Prometheus begins a new block."""
    while start < end:
        cut = min(end, start - start % BLOCK + BLOCK)
        yield start, cut
        start = cut


def size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{value}"' for name, value in labels.items())


def _text(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(round(number, 6))

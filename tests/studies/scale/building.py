"""Makes the store: raw samples of all instances, and what recording rules make of them."""

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from .blocks import MINUTE, Samples, blocks_of, size, spans, write
from .course import DAY
from .fleet import services
from .recorded import record, repeat
from .store import BlockStore
from .template import series_of_one_program

RULES: Final = sorted((Path(__file__).parents[3] / "dashboards" / "prometheus").glob("*.yaml"))
"""The files of recording rules and of alerts, which rest on some of their own."""
_AHEAD: Final = 60 * MINUTE
"""The newest sample lies so far ahead, so that rules that are evaluated later find data of now."""


@dataclass(frozen=True, slots=True)
class Built:
    """A store of a day, whose last hours have raw samples, of every series each minute."""

    data: Path
    end: int
    """The time of the newest sample."""
    series: int
    """Of one program."""


def built(data: Path, instances: int, dense_minutes: int) -> Built:
    """Make it in a new folder."""
    end = (int(time.time()) + _AHEAD) // MINUTE * MINUTE
    start = end - dense_minutes * MINUTE
    data.mkdir()
    with TemporaryDirectory(dir=data.parent) as name:
        folder = Path(name)
        template = series_of_one_program(folder)
        samples = Samples(template, end - DAY * MINUTE)
        for first, last in spans(start, end + MINUTE):
            for service in services(instances):
                write(folder / "text", samples, service, first, last)
                blocks_of(service, folder / "text", data)
            print(
                f"  raw samples of {(last - first) / 3600:.1f} h, {size(data) / 1e9:.2f} GB",
                flush=True,
            )
        store = BlockStore(folder, data)
        print("  compaction", flush=True)
        store.compact()
        print("  recording rules over the dense hours", flush=True)
        with store:
            record(store, RULES, start, end)
        print("  recorded series of the time before", flush=True)
        repeat(data, folder, (start, end), end - DAY * MINUTE)
        print("  compaction of these", flush=True)
        store.compact()
    return Built(data, end, len(template))

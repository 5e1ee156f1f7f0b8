"""Makes the store: raw samples of all instances, and the series of recording rules."""

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from .blocks import MINUTE, Samples, create, size, spans, write
from .course import DAY
from .fleet import services
from .recorded import record, repeat
from .store import BlockStore
from .template import series_of_one_program

RULES: Final = sorted((Path(__file__).parents[3] / "dashboards" / "prometheus").glob("*.yaml"))
"""The files of recording rules and of alerts, which have some recording rules as well."""
_AHEAD: Final = 60 * MINUTE
"""The newest sample is this far ahead, so that rules that are evaluated later find current data."""


@dataclass(frozen=True, slots=True)
class Built:
    """A store of a day. In its last hours, every series has a raw sample each minute."""

    data: Path
    end: int
    """The time of the newest sample."""
    series: int
    """Series of one program."""


def built(data: Path, instances: int, dense_minutes: int) -> Built:
    """Make the store in a new folder."""
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
                labels = (f"--label={name}={value}" for name, value in service.labels.items())
                create(folder / "text", data, *labels)
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

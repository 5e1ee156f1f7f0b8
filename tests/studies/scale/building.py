"""The store of a size: built once, kept in a folder outside of what is tracked."""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import yaml

from .blocks import MINUTE, Samples, blocks_of, size, spans, write
from .course import DAY
from .fleet import services
from .recorded import record, repeat
from .store import BlockStore
from .template import series_of_one_program

CACHE: Final = Path(__file__).parents[3] / ".cache" / "scale"
RULES: Final = sorted((Path(__file__).parents[3] / "dashboards" / "prometheus").glob("*.yaml"))
"""The files of recording rules and of alerts, which rest on some of their own."""
_AHEAD: Final = 60 * MINUTE
"""The newest sample lies so far ahead, so that rules that are evaluated later find data of now."""
_NOTES: Final = "built.json"


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is."""

    instances: int = 1000
    dense_minutes: int = 180
    """Of raw data at the end, of every series each minute."""
    minutes: int = DAY
    """Of data at all; before the dense ones there are recorded series only."""


@dataclass(frozen=True, slots=True)
class Built:
    """A store that is there."""

    data: Path
    dense: tuple[int, int]
    """Seconds since the epoch: the first sample of raw data, and the newest of all."""
    series: dict[str, int]
    """Of one program, by provider; those of the process under an empty name."""

    @property
    def end(self) -> int:
        """The time of the newest sample."""
        return self.dense[1]


def built(wanted: Size) -> Built:
    """The store of this size and these rules: as it was left, else made now."""
    of_size = f"{wanted.instances}x{wanted.dense_minutes}"
    raw = _kept(CACHE / f"raw-{of_size}", lambda data: _raw(wanted, data))
    return _kept(
        CACHE / f"{of_size}of{wanted.minutes}-{_digest()}",
        lambda data: _recorded(wanted, raw, data),
    )


def copy(data: Path, target: Path) -> None:
    """A copy that shares its files: blocks are never changed, only replaced."""
    shutil.copytree(data, target, copy_function=os.link, ignore=shutil.ignore_patterns("lock"))


def _digest() -> str:
    """Of what is recorded, and how often; the rest of the rules leaves the store as it is."""
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    recorded = [
        [group.get("interval"), rule["record"], rule["expr"]]
        for group in groups
        for rule in group["rules"]
        if "record" in rule
    ]
    return hashlib.sha256(json.dumps(recorded).encode()).hexdigest()[:8]


def _kept(place: Path, make: Callable[[Path], Built]) -> Built:
    """What is there, else what is made now. Another process that makes it is waited for."""
    place.parent.mkdir(parents=True, exist_ok=True)
    notes = place / _NOTES
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if notes.exists():
            content: dict[str, Any] = json.loads(notes.read_text())
            first, last = content["dense"]
            return Built(place / "data", (first, last), content["series"])
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        made = make(place / "data")
        notes.write_text(json.dumps(asdict(made), default=str))
        return made


def _raw(wanted: Size, data: Path) -> Built:
    end = (int(time.time()) + _AHEAD) // MINUTE * MINUTE
    start = end - wanted.dense_minutes * MINUTE
    data.mkdir()
    with TemporaryDirectory(dir=data.parent) as name:
        folder = Path(name)
        template = series_of_one_program(folder)
        samples = Samples(template, end - DAY * MINUTE)
        for first, last in spans(start, end + MINUTE):
            for service in services(wanted.instances):
                write(folder / "text", samples, service, first, last)
                blocks_of(service, folder / "text", data)
            print(
                f"  raw samples of {(last - first) / 3600:.1f} h, {size(data) / 1e9:.2f} GB",
                flush=True,
            )
        print("  compaction", flush=True)
        BlockStore(folder, data).compact()
    return Built(data, (start, end), dict(Counter(one.provider for one in template)))


def _recorded(wanted: Size, raw: Built, data: Path) -> Built:
    copy(raw.data, data)
    with TemporaryDirectory(dir=data.parent) as name:
        folder = Path(name)
        store = BlockStore(folder, data)
        print("  recording rules over the dense hours", flush=True)
        with store:
            record(store, RULES, *raw.dense)
        if wanted.minutes > wanted.dense_minutes:
            print("  recorded series of the time before", flush=True)
            repeat(data, folder, raw.dense, raw.end - wanted.minutes * MINUTE)
        print("  compaction of these", flush=True)
        store.compact()
    return replace(raw, data=data)

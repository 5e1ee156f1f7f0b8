"""The store of a size: built once, kept in a folder outside of what is tracked."""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
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
from .template import by_provider, series_of_one_program

CACHE: Final = Path(__file__).parents[3] / ".cache" / "scale"
RULES: Final = Path(__file__).parents[3] / "dashboards" / "prometheus"
"""The folder of the rule files."""
_AHEAD: Final = 60 * MINUTE
"""The newest sample lies so far ahead, so that rules that are evaluated later find data of now."""
_NOTES: Final = "built.json"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is."""

    instances: int = 1000
    dense_minutes: int = 180
    """Of raw data at the end, of every series each minute."""
    minutes: int = DAY
    """Of data at all; before the dense ones there are recorded series only."""
    compacted: bool = True
    """Whether blocks of the same time are made one, which takes Prometheus a minute each time."""


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


def built(wanted: Size, folder: Path = CACHE, rules: Path = RULES, say: Say = print) -> Built:
    """The store of this size and these rules: as it was left, else made now."""
    files = rule_files(rules)
    raw = _kept(
        folder / f"raw-{wanted.instances}x{wanted.dense_minutes}",
        lambda data: _raw(wanted, data, say),
    )
    return _kept(
        folder / f"{wanted.instances}x{wanted.dense_minutes}of{wanted.minutes}-{_digest(files)}",
        lambda data: _recorded(wanted, raw, data, files, say),
    )


def rule_files(folder: Path = RULES) -> list[Path]:
    """The files of recording rules and of alerts, which rest on some of their own."""
    return sorted(folder.glob("*.yaml"))


def copy(data: Path, target: Path) -> None:
    """A copy that shares its files: blocks are never changed, only replaced."""
    shutil.copytree(data, target, copy_function=os.link, ignore=shutil.ignore_patterns("lock"))


def _digest(files: Sequence[Path]) -> str:
    """Of what is recorded, and how often; the rest of the rules leaves the store as it is."""
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
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


def _raw(wanted: Size, data: Path, say: Say) -> Built:
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
            say(f"  raw samples of {(last - first) / 3600:.1f} h, {size(data) / 1e9:.2f} GB")
        if wanted.compacted:
            say("  compaction")
            BlockStore(folder, data).compact()
    return Built(data, (start, end), dict(by_provider(template)))


def _recorded(wanted: Size, raw: Built, data: Path, rules: Sequence[Path], say: Say) -> Built:
    copy(raw.data, data)
    with TemporaryDirectory(dir=data.parent) as name:
        folder = Path(name)
        store = BlockStore(folder, data)
        say("  recording rules over the dense hours")
        with store:
            record(store, rules, *raw.dense)
        if wanted.minutes > wanted.dense_minutes:
            say("  recorded series of the time before")
            repeat(data, folder, raw.dense, raw.end - wanted.minutes * MINUTE)
        if wanted.compacted:
            say("  compaction of these")
            store.compact()
    return replace(raw, data=data)

"""The store of a size: built once, kept in a folder outside of what is tracked."""

from __future__ import annotations

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
from .template import Series, by_provider, series_of_one_program

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
    seconds: dict[str, float]
    """How long each part of the work took."""

    @property
    def end(self) -> int:
        """The time of the newest sample."""
        return self.dense[1]


def built(wanted: Size, folder: Path = CACHE, rules: Path = RULES, say: Say = print) -> Built:
    """The store of this size and these rules: as it was left, else made now."""
    raw = _kept(
        folder / f"raw-{wanted.instances}x{wanted.dense_minutes}",
        lambda data: _raw(wanted, data, _Clock(say)),
    )
    files = rule_files(rules)
    return _kept(
        folder / f"{wanted.instances}x{wanted.dense_minutes}of{wanted.minutes}-{_digest(files)}",
        lambda data: _recorded(wanted, raw, data, files, _Clock(say)),
    )


def rule_files(folder: Path = RULES) -> list[Path]:
    """The files of recording rules and of alerts, which rest on some of their own."""
    return sorted(folder.glob("*.yaml"))


def copy(data: Path, target: Path) -> None:
    """A copy that shares its files: blocks are never changed, only replaced."""
    shutil.copytree(data, target, copy_function=os.link, ignore=shutil.ignore_patterns("lock"))


def _digest(files: Sequence[Path]) -> str:
    """Of what is recorded, and how often; the rest of the rules leaves the store as it is."""
    recorded = [
        [group.get("interval"), rule["record"], rule["expr"]]
        for file in files
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
        if "record" in rule
    ]
    return hashlib.sha256(json.dumps(recorded).encode()).hexdigest()[:8]


def _kept(place: Path, make: Callable[[Path], Built]) -> Built:
    """What is there, else what is made now. Another process that makes it is waited for."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _made(place, make)


def _made(place: Path, make: Callable[[Path], Built]) -> Built:
    notes = place / _NOTES
    if notes.exists():
        content: dict[str, Any] = json.loads(notes.read_text())
        dense = (content["dense"][0], content["dense"][1])
        return Built(place / "data", dense, content["series"], content["seconds"])
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    made = make(place / "data")
    notes.write_text(json.dumps(asdict(made), default=str))
    return made


def _raw(wanted: Size, data: Path, clock: _Clock) -> Built:
    end = (int(time.time()) + _AHEAD) // MINUTE * MINUTE
    start = end - wanted.dense_minutes * MINUTE
    data.mkdir()
    with TemporaryDirectory(dir=data.parent) as name:
        folder = Path(name)
        template = series_of_one_program(folder)
        clock.took("one program's series")
        _blocks(wanted, template, data, folder / "text", (start, end), clock)
        if wanted.compacted:
            BlockStore(folder, data).compact()
            clock.took("compaction")
    return Built(data, (start, end), dict(by_provider(template)), clock.parts)


def _blocks(
    wanted: Size,
    template: list[Series],
    data: Path,
    text: Path,
    dense: tuple[int, int],
    clock: _Clock,
) -> None:
    start, end = dense
    samples = Samples(template, end - DAY * MINUTE)
    for first, last in spans(start, end + MINUTE):
        for service in services(wanted.instances):
            write(text, samples, service, first, last)
            clock.took("texts of raw samples", quietly=True)
            blocks_of(service, text, data)
            clock.took("blocks of raw samples", quietly=True)
        clock.say(f"  raw samples of {(last - first) / 3600:.1f} h, {size(data) / 1e9:.2f} GB")


def _recorded(wanted: Size, raw: Built, data: Path, rules: Sequence[Path], clock: _Clock) -> Built:
    copy(raw.data, data)
    with TemporaryDirectory(dir=data.parent) as name:
        folder = Path(name)
        store = BlockStore(folder, data)
        store.start()
        try:
            record(store, rules, *raw.dense)
        finally:
            store.stop()
        clock.took("recording rules over the dense hours")
        if wanted.minutes > wanted.dense_minutes:
            repeat(data, folder, raw.dense, raw.end - wanted.minutes * MINUTE)
            clock.took("recorded series of the time before")
        if wanted.compacted:
            store.compact()
            clock.took("compaction of these")
    return replace(raw, data=data, seconds={**raw.seconds, **clock.parts})


class _Clock:
    def __init__(self, say: Say) -> None:
        self.say = say
        self.parts: dict[str, float] = {}
        self._last = time.monotonic()

    def took(self, what: str, *, quietly: bool = False) -> None:
        """The time since the last call goes to this part."""
        now = time.monotonic()
        self.parts[what] = self.parts.get(what, 0.0) + now - self._last
        self._last = now
        if not quietly:
            self.say(f"  {what}: {self.parts[what]:.0f} s")

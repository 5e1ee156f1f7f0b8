"""Recorded snapshots of incidents, and what has to be found in them.

``make -C tests/studies record`` makes them. Beside the snapshots of an incident, ``expected.toml``
has what the study's catalogue stated before it was played first: the exit status of ``doctor``,
kinds of the cause, and facts (patterns) that the first finding has to match. ``known`` are
deviations by the time of the recording. ``findings.txt`` has the findings as text.
"""

import functools
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from gluellm_diagnosis.diagnose import diagnose
from gluellm_diagnosis.findings import UNEXPLAINED, Finding, Kind, Severity
from opentelemetry.instrumentation.gluellm.snapshots.format import content_of
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot

FOLDER: Final = Path(__file__).parent
AT: Final = (45, 150, 285)
"""Seconds after the incident began."""
FOUND_BY: Final = 150
"""From then on the cause has to be found: a leak is one after 60 s, and a cause is due within 90 s
of its evidence. Before that, only a wrong cause must not be named."""


class Recording(NamedTuple):
    """A recorded snapshot of an incident."""

    name: str
    at: int

    @property
    def id(self) -> str:
        return f"{self.name}-{self.at}"

    @property
    def expected(self) -> dict[str, Any]:
        return _expected(self.name)

    @property
    def content(self) -> Any:
        """The JSON of the snapshot, to change."""
        with (FOLDER / self.name / f"{self.at}.json.gz").open("rb") as file:
            return content_of(file)

    @property
    def snapshot(self) -> Snapshot:
        return _snapshot(self)

    @property
    def findings(self) -> list[Finding]:
        return _findings(self)

    def verdict(self) -> str:
        """What is wrong with the findings; empty if they are as expected."""
        stated, top = self.expected, top_of(self.findings)
        if not stated["status"]:
            return f"nothing is wrong, but it is {top.kind}" if top else ""
        if top is None:
            return "nothing was found" if self.at >= FOUND_BY else ""
        named = all(re.search(fact, str(top), re.IGNORECASE) for fact in stated["facts"])
        early = self.at < FOUND_BY and top.kind in (*UNEXPLAINED, Kind.POOL_SATURATED)
        if early or (named and top.kind in (*stated["kinds"], *UNEXPLAINED)):
            return ""
        return f"it is {top.kind}, not {stated['kinds']} with {stated['facts']}"

    @staticmethod
    def golden(name: str) -> str:
        """The findings in all recordings of an incident, as text."""
        parts = []
        for at in AT:
            findings = Recording(name, at).findings
            parts += [f"After {at} s", "", *(f"{one}\n" for one in findings or ["no finding"])]
        return "\n".join(parts)


def recordings(half: str = "") -> Iterator[Recording]:
    """All recordings, or those of a half of the catalogue."""
    for folder in sorted(FOLDER.glob("*/expected.toml")):
        name = folder.parent.name
        if half in ("", _expected(name)["half"]):
            yield from (Recording(name, at) for at in AT)


def top_of(findings: list[Finding]) -> Finding | None:
    """The first finding above INFO."""
    return next((one for one in findings if one.severity is not Severity.INFO), None)


@functools.cache
def _expected(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / name / "expected.toml").read_text())


@functools.cache
def _snapshot(one: Recording) -> Snapshot:
    return Snapshot.from_dict(one.content)


@functools.cache
def _findings(one: Recording) -> list[Finding]:
    return diagnose(one.snapshot)

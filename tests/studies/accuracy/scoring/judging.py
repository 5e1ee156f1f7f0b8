"""Compares what was reported about an incident with what its entry in the catalogue states."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ..catalogue import CONTROL, EXPECTED, SYMPTOMS, Incident

YES, PARTLY, NO, WRONG = "yes", "partly", "no", "wrong"
ASPECTS: Final = ("finding", "doctor", "alert", "overview")
_ACCOUNT: Final = {"calls_failing", "calls_silent", "calls_slow", "calls_cancelled"}
"""Kinds of findings that report what is wrong and where, but no cause."""
_CALM: Final[Mapping[str, float]] = EXPECTED["calm"]


@dataclass(kw_only=True)
class Seen:
    """What was reported about one incident."""

    incident: Incident
    findings: Sequence[Mapping[str, str]] = ()
    """Findings of ``doctor``, in its order."""
    status: int = -1
    """Exit status of ``doctor``."""
    alerts: Mapping[str, float] = field(default_factory=dict)
    """Alerts that fired, and after how many seconds."""
    values: Mapping[str, float] = field(default_factory=dict)
    """By signal of the overview, the highest value after the incident began; for a relative sign,
    divided by the median before it."""
    calls: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """The application's counts of its calls, before and after the incident began."""
    note: str = ""
    """Reason to doubt the run."""

    @property
    def above_info(self) -> list[Mapping[str, str]]:
        return [finding for finding in self.findings if finding["severity"] != "info"]

    @property
    def kind(self) -> str:
        """Kind of the first finding above INFO; `CONTROL` if there is none."""
        return self.above_info[0]["kind"] if self.above_info else CONTROL

    def verdict(self, aspect: str) -> str:
        """One of ``yes``, ``partly``, ``no`` and ``wrong``."""
        return str(getattr(self, f"_{aspect}")())

    def _finding(self) -> str:
        one = self.incident
        if not self.above_info or one.cause == CONTROL:
            return YES if self.kind == one.cause else WRONG if one.cause == CONTROL else NO
        right = {one.cause, *EXPECTED["kinds"].get(one.cause, ())}
        top, *others = self.above_info
        complete = all(re.search(fact, _text(top), re.IGNORECASE) for fact in one.facts)
        if top["kind"] in right:
            return YES if complete else PARTLY
        follows = any(other["kind"] in right for other in others)
        if top["kind"] not in _ACCOUNT:
            return PARTLY if follows else WRONG
        if complete:
            return YES
        located = one.where.replace("_", " ") in _text(top).replace("_", " ")
        return PARTLY if located or follows else NO

    def _doctor(self) -> str:
        if self.status == self.incident.doctor:
            return YES
        return WRONG if self.incident.cause == CONTROL else NO

    def _alert(self) -> str:
        one = self.incident
        expected = {one.alert, *one.also, *(SYMPTOMS if one.cause != CONTROL else ())}
        if self.alerts.keys() - expected:
            return WRONG
        if one.alert in self.alerts or (one.alert is None and not self.alerts):
            return YES
        return PARTLY if self.alerts else NO

    def _overview(self) -> str:
        if self.incident.cause == CONTROL:
            return WRONG if any(self.values[name] >= most for name, most in _CALM.items()) else YES
        shown = (self.values.get(key, 0.0) >= least for key, least in self.wanted)
        return (NO, PARTLY, YES)[sum(shown)]

    @property
    def wanted(self) -> list[tuple[str, float]]:
        """Each sign's key in `values`, and the value that it has to reach."""
        return [
            (" ".join([sign[0], *map(str, sign[2:])]), float(str(sign[1]).removeprefix("x")))
            for sign in self.incident.signs
        ]

    def lines(self) -> Iterator[str]:
        """Lines to print about each aspect that is not right."""
        if self.note:
            yield f"  note: {self.note}"
        if any(self.verdict(aspect) != YES for aspect in ASPECTS):
            yield f"  application: {self.calls}"
        if self.verdict("finding") != YES:
            for finding in self.above_info[:2]:
                yield f"  {finding['kind']}: {finding['observed'][:300]}"
        if self.verdict("doctor") != YES:
            yield f"  doctor exits {self.status}, not {self.incident.doctor}"
        if self.verdict("alert") != YES:
            fired = ", ".join(f"{name} ({after:.0f} s)" for name, after in self.alerts.items())
            yield f"  fired: {fired or 'nothing'}; expected: {self.incident.alert or 'nothing'}"
        if self.verdict("overview") != YES:
            least = dict(self.wanted) if self.incident.signs else _CALM
            shown = (f"{key} {value:.3g} ({least[key]:g})" for key, value in self.values.items())
            yield f"  overview: {', '.join(shown)}"


def _text(finding: Mapping[str, str]) -> str:
    return " ".join(str(value) for value in finding.values())


def signs_of(one: Incident) -> Sequence[tuple[str, float | str, str]]:
    """The signals to read, with the value to reach and a label's value (empty for none)."""
    if one.cause == CONTROL:
        return [(name, most, "") for name, most in _CALM.items()]
    return [(sign[0], sign[1], str(sign[2]) if len(sign) > 2 else "") for sign in one.signs]


def share(results: Sequence[Seen], aspect: str) -> float:
    """Share of right verdicts, where a wrong one counts double."""
    counts = Counter(result.verdict(aspect) for result in results)
    total = len(results) + counts[WRONG]
    return counts[YES] / total if total else 1.0


def passes(results: Sequence[Seen]) -> bool:
    """At least 90 % yes in each aspect, nothing wrong."""
    return all(
        share(results, aspect) >= 0.9 and not any(r.verdict(aspect) == WRONG for r in results)
        for aspect in ASPECTS
    )

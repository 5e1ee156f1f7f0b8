"""Compares what was reported about an incident with what its entry in the catalogue states."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gluellm_diagnosis.findings import UNEXPLAINED, Kind

from ..catalogue import BY_FINDINGS, CONTROL, EXPECTED, MILD, SYMPTOMS, Incident

YES, PARTLY, NO, WRONG = "yes", "partly", "no", "wrong"
ASPECTS: Final = ("finding", "doctor", "alert", "log", "overview")
_ACCOUNT: Final = {str(kind) for kind in (*UNEXPLAINED, Kind.POOL_SATURATED)}
"""Kinds of findings that report what is wrong and where, but no cause."""
_CALM: Final[Mapping[str, float]] = EXPECTED["calm"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """A finding as the process exported or logged it, or an alert."""

    kind: str
    """Kind of the finding; empty for an alert on symptoms."""
    severity: str
    began: float
    """Seconds after the begin of the incident."""
    ended: float | None = None
    """Seconds after the end of the incident; None if it lasts."""
    text: str = ""
    alert: str = ""

    def __str__(self) -> str:
        name = "/".join(filter(None, (self.alert.removeprefix("GlueLLM"), self.kind)))
        ended = "not" if self.ended is None else f"{self.ended:.0f}"
        return f"{name} ({self.severity}) {self.began:.0f}/{ended}"


@dataclass(kw_only=True)
class Seen:
    """What was reported about one incident."""

    incident: Incident
    findings: Sequence[Mapping[str, str]] = ()
    """Findings of ``doctor``, in its order."""
    status: int = -1
    """Exit status of ``doctor``."""
    exported: Sequence[Report] = ()
    alerts: Sequence[Report] = ()
    """Alerts that fired."""
    logged: Sequence[Report] = ()
    judged: int = 0
    """Judgements of the process."""
    values: Mapping[str, float] = field(default_factory=dict)
    """By signal of the overview, the highest value after the incident began; for a relative sign,
    divided by the median before it."""
    calls: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """The application's counts of its calls, before and after the incident began."""
    note: str = ""
    """Reason to doubt the run."""

    @property
    def right(self) -> set[str]:
        """Kinds of findings that name the cause."""
        return {self.incident.cause, *EXPECTED["kinds"].get(self.incident.cause, ())}

    def verdict(self, aspect: str) -> str:
        """One of ``yes``, ``partly``, ``no`` and ``wrong``."""
        return str(getattr(self, f"_{aspect}")())

    def _named(self, found: Sequence[tuple[str, str]]) -> str:
        """Judge kinds and texts, the first one foremost."""
        one = self.incident
        if one.cause == CONTROL:
            return WRONG if found else YES
        if not found:
            return NO
        (kind, text), *others = found
        complete = all(re.search(fact, text, re.IGNORECASE) for fact in one.facts)
        if kind in self.right:
            return YES if complete else PARTLY
        follows = any(other in self.right for other, _ in others)
        if kind not in _ACCOUNT:
            return PARTLY if follows else WRONG
        if complete:
            return YES
        located = one.where.replace("_", " ") in text.replace("_", " ")
        return PARTLY if located or follows else NO

    def _reported(self, reports: Sequence[Report]) -> str:
        """Judge reports, errors first; the text is that of the kind wherever it is read."""
        texts = {one["kind"]: _text(one) for one in self.findings}
        texts |= {one.kind: one.text for one in self.logged}
        order = {"error": 0, "critical": 0}
        ordered = sorted(reports, key=lambda one: (order.get(one.severity, 1), one.began))
        return self._named([(one.kind, texts.get(one.kind, "")) for one in ordered])

    def _finding(self) -> str:
        return self._reported(self.exported)

    def _log(self) -> str:
        return self._reported(self.logged)

    def _doctor(self) -> str:
        if self.status != self.incident.doctor:
            return WRONG if self.incident.cause == CONTROL else NO
        above_info = [one for one in self.findings if one["severity"] != "info"]
        return self._named([(one["kind"], _text(one)) for one in above_info])

    def _alert(self) -> str:
        one, fired = self.incident, {alert.alert for alert in self.alerts}
        usual = {one.alert, *one.also, *SYMPTOMS, *BY_FINDINGS} if one.alert else set()
        if fired - usual:
            return WRONG
        if not one.alert or not fired:
            return NO if one.alert else YES
        named = self._reported([alert for alert in self.alerts if alert.kind])
        paged = one.alert == MILD or any(alert.severity == "critical" for alert in self.alerts)
        if named == NO or (named == YES and not (paged or one.alert in fired)):
            return PARTLY
        return named

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

    def row(self) -> str:
        """A verdict by aspect, with the seconds from the begin and from the end."""
        cells = [f"{self.incident.name:28}"]
        for aspect in ASPECTS:
            reports = {"finding": self.exported, "alert": self.alerts, "log": self.logged}
            some = reports.get(aspect, ())
            named = [one for one in some if one.kind in self.right] or some
            first = min(named, key=lambda one: one.began, default="")
            cells.append(f"{aspect} {self.verdict(aspect)} {first}".rstrip())
        return " | ".join([*cells, f"{self.judged} judgements"])

    def lines(self) -> Iterator[str]:
        """Lines to print about each aspect that is not right."""
        if self.note:
            yield f"  note: {self.note}"
        wrong = [aspect for aspect in ASPECTS if self.verdict(aspect) != YES]
        if not wrong:
            return
        yield f"  application: {self.calls}"
        yield f"  doctor exits {self.status}, finds: " + "; ".join(
            f"{one['kind']} ({one['severity']}): {one['observed'][:300]}" for one in self.findings
        )
        for name in ("exported", "logged", "alerts"):
            yield f"  {name}: {', '.join(map(str, getattr(self, name))) or 'nothing'}"
        if "overview" in wrong:
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

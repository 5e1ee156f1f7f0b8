"""The process's own diagnosis: when it runs, and which findings are active.

The watch calls `Judgement.passed` in its thread, never on an event loop's. A finding begins and
ends by rules that keep one deviating judgement from starting or ending it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from .. import thresholds
from ..pool.durations import nanoseconds
from ..pool.registry import PoolRegistry

ERROR, WARNING = "error", "warning"
Subject = tuple[str | None, str | None, str | None]
"""Pool, provider and source of calls that a finding is about."""
Key = tuple[str, Subject]
_JUDGEMENTS = 3
"""Latest judgements that decide whether a finding begins, and its severity."""


class Found(Protocol):
    """What the observing side reads of a finding of ``gluellm_diagnosis``."""

    @property
    def kind(self) -> str: ...
    @property
    def severity(self) -> str: ...
    @property
    def pool(self) -> str | None: ...
    @property
    def library(self) -> str | None: ...
    @property
    def provider(self) -> str | None: ...
    @property
    def source(self) -> str | None: ...
    @property
    def observed(self) -> str: ...
    @property
    def held(self) -> bool:
        """Whether its evidence is a state that still lasts, such as an unread answer."""


@dataclass(slots=True, eq=False)
class Active:
    """A finding from its begin to its end."""

    finding: Found
    """The finding at the latest judgement that found it."""
    began_at: int
    """Time of the judgement that began it, in nanoseconds."""
    severities: deque[str] = field(default_factory=lambda: deque(maxlen=_JUDGEMENTS))
    """Severities in the latest judgements; empty where it was not found."""

    @property
    def severity(self) -> str:
        """Highest severity of the latest judgements."""
        return ERROR if ERROR in self.severities else WARNING


class ActiveFindings:
    """The findings that are active now. Replaced as a whole, since collections read it."""

    def __init__(self) -> None:
        self.now: dict[Key, Active] = {}
        self._judgements: deque[dict[Key, Found]] = deque(maxlen=_JUDGEMENTS)

    def judged(
        self, findings: Iterable[Found], now: int, *, quiet: bool
    ) -> tuple[list[Active], list[Active]]:
        """Take the findings of a judgement. Return those that began or rose, and those that ended.

        An error begins at once. A warning begins if it was found twice in the last three
        judgements, or if the judgement before had any finding on the same subject. A finding ends
        after two judgements without it. Without traffic (``quiet``), only findings on what is held
        now count, and the others end at once.
        """
        found = {
            (each.kind, subject_of(each)): each
            for each in findings
            if each.severity in (ERROR, WARNING) and (each.held or not quiet)
        }
        before = self._judgements[-1] if self._judgements else {}
        subjects = {subject for _, subject in before}
        self._judgements.append(found)
        begun, kept, ended = [], {}, []
        for key, active in self.now.items():
            had = active.severity
            active.severities.append(found[key].severity if key in found else "")
            if key in found:
                active.finding = found[key]
                if active.severity == ERROR != had:
                    begun.append(active)
            if key in found or (key in before and not quiet):
                kept[key] = active
            else:
                ended.append(active)
        for key, finding in found.items():
            twice = sum(key in judgement for judgement in self._judgements) > 1
            if key not in kept and (finding.severity == ERROR or twice or key[1] in subjects):
                active = kept[key] = Active(finding, now)
                active.severities.append(finding.severity)
                begun.append(active)
        self.now = kept
        return begun, ended


def subject_of(finding: Found) -> Subject:
    """Return whom a finding is about."""
    return finding.pool, finding.provider, finding.source


class Judgement:
    """Decides when a judgement is due, runs it, and reports findings that begin and end.

    ``load`` imports the judge, which takes a snapshot and returns its findings. ``interval`` is in
    seconds.
    """

    def __init__(
        self,
        registry: PoolRegistry,
        load: Callable[[], Callable[[], Iterable[Found]]],
        interval: float,
    ) -> None:
        self._registry = registry
        self._load = load
        self._interval = nanoseconds(interval)
        share = thresholds.JUDGEMENT_SHARE_OF_CPU
        if interval < thresholds.JUDGEMENT_LIVE:
            share = thresholds.JUDGEMENT_SHARE_OF_CPU_LIVE
        self._per_cpu = round(1 / share)
        self._possible = True
        self.changed: Callable[[], object] = lambda: None
        """Called after the first judgement, and when a finding has begun, risen or ended. Must not
        raise."""
        self.clear()

    def clear(self) -> None:
        """Forget all findings, as in a forked child."""
        self._findings = ActiveFindings()
        self.count = 0
        """Judgements that ended."""
        self._due: int | None = None
        """When the next judgement may begin; None before the first request."""
        self._used_at = 0
        """When a pass last found a request, new or in flight."""

    @property
    def possible(self) -> bool:
        """Whether there are judgements. They end for good if ``gluellm_diagnosis`` is broken."""
        return self._possible

    @property
    def now(self) -> dict[Key, Active]:
        """The active findings."""
        return self._findings.now

    def passed(self, *, entered: bool, busy: bool) -> None:
        """Judge if it is due: ``entered`` and ``busy`` are whether requests are new, or in flight.

        Exceptions are counted, and not raised.
        """
        now = self._registry.clock()
        if entered or busy:
            self._used_at = now
        if self._due is None:
            if not (entered or busy):
                return
            self._due = now + self._interval
        if not self._possible or now < self._due or not (entered or busy or self.now):
            return
        began = time.thread_time_ns()
        try:
            judge = self._load()
            began = time.thread_time_ns()  # importing once must not delay the next judgement
            found = judge()
        except ImportError as error:
            self._possible = False
            self._registry.failures.caught("judgement", error)
            return
        except Exception as error:
            self._registry.failures.caught("judgement", error)
            found = None
        spent = (time.thread_time_ns() - began) * self._per_cpu
        longest = nanoseconds(thresholds.JUDGEMENT_AT_LEAST_EVERY)
        self._due = now + max(self._interval, min(spent, longest))
        if found is not None:
            quiet = now - self._used_at >= nanoseconds(thresholds.NO_TRAFFIC)
            self.count += 1
            self._report(*self._findings.judged(found, now, quiet=quiet), now)

    def _report(self, begun: list[Active], ended: list[Active], now: int) -> None:
        observer = self._registry.observer
        for active in begun:
            observer.finding_began(active)
        for active in ended:
            observer.finding_ended(active, now)
        if begun or ended or self.count == 1:
            self.changed()

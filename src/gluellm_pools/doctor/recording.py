"""Inside a program that runs under the doctor: a report every second, written to a file."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gluellm_diagnosis.findings import Finding, Kind, Severity, findings_text
from gluellm_diagnosis.report import Report, report_on
from gluellm_diagnosis.rules.holding import likely_leak
from gluellm_diagnosis.rules.waiting import watch_command
from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.snapshots.on_signal import rendezvous
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot
from opentelemetry.instrumentation.gluellm.text import wrapped

from .instrumentation import instrument_until_program_does
from .outlook import Outlook

_INTERVAL = 1.0
_WINDOW = 10
"""Findings cover the time of so many snapshots."""
_SHORT_LIFE = 3
"""Number of snapshots up to which the one at the program's end always counts."""
_LONGER = "let it run for longer under gluellm-pools doctor"
"""Replaces the command that watches the process, which has ended when the report is read."""
_SEVERITIES = list(Severity)
_EXPLAIN_FULL_POOL = frozenset(
    "leak silent_connections slow_consumer slow_upload slow_provider queue_at_provider "
    "one_caller_holds_pool pool_too_small http2_stuck calls_silent".split()
)
"""Kinds of findings that explain a saturated pool."""


@dataclass(slots=True)
class TimedFinding:
    """Finding of one kind and pool over the time of a run. Times are seconds since its start."""

    finding: Finding
    """The last one of the worst severity."""
    rank: tuple[int, int]
    """Severity, and position in its report: the most causal finding comes first."""
    first: float
    last: float

    def to_dict(self) -> dict[str, Any]:
        times = {"first": self.first, "last": self.last}
        return {**self.finding.to_dict(), "text": findings_text([self.finding]), **times}


class FindingsOverTime(dict[tuple[Kind, str | None], TimedFinding]):
    """Findings of many reports by kind and pool."""

    def add(self, report: Report, at: float) -> None:
        """Add the findings of a report that was made ``at`` seconds after the start."""
        command = watch_command(report.snapshot.process.pid)
        for position, found in enumerate(report.findings):
            finding = replace(found, advice=found.advice.replace(command, _LONGER))
            rank = (_SEVERITIES.index(finding.severity), position)
            known = self.setdefault((found.kind, found.pool), TimedFinding(finding, rank, at, at))
            known.last = at
            if rank[0] <= known.rank[0]:
                known.finding, known.rank = finding, rank

    def ordered(self) -> list[TimedFinding]:
        """Return the findings, the most severe, then the most causal, then the longest first.

        A saturated pool is left out if another finding explains it.
        """
        explained = {
            (Kind.POOL_SATURATED, pool)
            for (kind, pool), known in self.items()
            if kind in _EXPLAIN_FULL_POOL and known.finding.severity is not Severity.INFO
        }
        kept = [known for key, known in self.items() if key not in explained]
        return sorted(kept, key=lambda known: (known.rank, known.first - known.last))


class Recorder:
    """Collects the findings and keeps the process's file up to date.

    The file is replaced once a second, so a killed program leaves a complete one.
    """

    def __init__(self, directory: rendezvous.Directory) -> None:
        # Checked at each access: the doctor can end before the program, and another user could then
        # create a directory of the same name.
        self._directory = directory
        self._outlook = Outlook.from_environment()
        self._reset()

    def _reset(self) -> None:
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._findings = FindingsOverTime()
        self._window: deque[Snapshot] = deque(maxlen=_WINDOW)
        self._count = self._requests = 0
        self._shown: Snapshot | None = None
        self._latest: Snapshot | None = None
        self._shows_requests = False
        self._errors: Counter[str] = Counter()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start recording in a thread."""
        self._write()
        threading.Thread(target=self._run, name="gluellm-pool-doctor", daemon=True).start()

    def after_fork_in_child(self) -> None:
        """Start again, with a file of the child's own."""
        self._reset()
        with contextlib.suppress(Exception):
            self.start()

    def at_exit(self) -> None:
        """Record the program's end."""
        self._stopped.set()
        with contextlib.suppress(Exception):
            self._record(ended=True)

    def _run(self) -> None:
        # It ends with the doctor, which removes its directory, or when the disk is full.
        with contextlib.suppress(Exception):
            while not self._stopped.wait(_INTERVAL):
                self._record(ended=False)

    def _record(self, *, ended: bool) -> None:
        with self._lock:
            # snapshot() raises after uninstrument().
            with contextlib.suppress(Exception):
                self._add(snapshot(), ended=ended)
            self._write()

    def _add(self, now: Snapshot, *, ended: bool) -> None:
        if self._window and now.uptime < self._window[-1].uptime:
            self._window.clear()  # another installation, which counts from 0
        # Until the window is full, the findings cover the time since the start.
        previous = self._window[0] if len(self._window) == _WINDOW else None
        self._window.append(now)
        self._count += 1
        origins = [origin for pool in now.totals for origin in pool.origins]
        outcomes = [outcome for origin in origins for outcome in origin.outcomes]
        errors = sum((Counter({o.error: o.count}) for o in outcomes if o.error), Counter[str]())
        # A program cancels its requests when it ends, which says nothing about its life.
        if not ended or self._count <= _SHORT_LIFE or set(errors - self._errors) != {"cancelled"}:
            self._findings.add(report_on(now, previous), time.monotonic() - self._started)
        self._latest = now if now.pools else self._latest
        entered = sum(origin.requests_entered for origin in origins)
        self._requests, self._errors = entered or self._requests, errors
        has_requests = any(pool.requests for pool in now.pools)
        if entered and (has_requests or not self._shows_requests):
            self._shown, self._shows_requests = now, has_requests

    def _write(self) -> None:
        content = {
            "pid": os.getpid(),
            # Other arguments may contain a key.
            "command": [Path(path).name for path in (sys.executable, *sys.argv[:1])],
            "seconds": time.monotonic() - self._started,
            "requests": self._requests,
            "findings": [finding.to_dict() for finding in self._findings.ordered()],
            "text": self._text(),
            "outlook": self._outlook.on(self._latest)[0] if self._latest is not None else "",
        }
        self._directory.write(f"{os.getpid()}.json", content)

    def _text(self) -> str:
        """Return the snapshot to show, with a leak that is not certain yet."""
        if (shown := self._shown) is None:
            return ""
        leak = likely_leak(list(shown.pools)) if shown.leak_threshold else None
        if leak is None or any(kind is Kind.LEAK for kind, _ in self._findings):
            return str(shown)
        text = f"Likely a leak: {leak}. It is certain after {shown.leak_threshold:g} s."
        return "\n".join([str(shown), "", *wrapped(text)])


def start_recording(path: str) -> None:
    """Instrument the program and record into the doctor's directory, if that still exists."""
    try:
        directory = rendezvous.Directory(Path(path))
    except OSError:
        return
    instrument_until_program_does()
    recorder = Recorder(directory)
    recorder.start()
    atexit.register(recorder.at_exit)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=recorder.after_fork_in_child)

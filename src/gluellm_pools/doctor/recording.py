"""Inside a program that runs under the doctor: a look every second, written to a file."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.diagnosis.report import report_on
from opentelemetry.instrumentation.gluellm.diagnosis.signal_report.rendezvous import Directory
from opentelemetry.instrumentation.gluellm.diagnosis.snapshot import Snapshot

from .seen import SeenFindings
from .yielding import turn_on_until_the_program_does

_INTERVAL = 1.0
_FEW_LOOKS = 3
_WINDOW = 10
"""Looks between a snapshot and the one that it is compared with: the findings are of that time."""


class Recorder:
    """Looks, gathers what is found, and keeps the file up to date.

    The file is rewritten as a whole, and at most once a second, so that a killed program has left
    one that is a second old.
    """

    def __init__(self, path: Path) -> None:
        """Raises UnusableDirectoryError where the directory is not private to this user."""
        # Through a descriptor: the doctor may be gone before the program, and somebody else could
        # put a directory of his own in its place.
        self._directory = Directory.at(path)
        self._begin()

    def _begin(self) -> None:
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._seen = SeenFindings()
        self._window: deque[Snapshot] = deque(maxlen=_WINDOW)
        self._last: Snapshot | None = None
        self._busy: Snapshot | None = None
        self._looks = 0
        self._written: str | None = None
        self._stopped = threading.Event()

    def start(self) -> None:
        """Look from now on, and at the end of the program."""
        self._write(ended=False)
        atexit.register(self._end)
        self._run_thread()

    def after_fork_in_child(self) -> None:
        """A file and findings of the child's own."""
        self._begin()
        with contextlib.suppress(Exception):
            self._write(ended=False)
            self._run_thread()

    def _run_thread(self) -> None:
        threading.Thread(target=self._run, name="gluellm-pool-doctor", daemon=True).start()

    def _run(self) -> None:
        stopped = self._stopped
        while not stopped.wait(_INTERVAL):
            with contextlib.suppress(Exception):
                self._look(ended=False)

    def _end(self) -> None:
        self._stopped.set()
        with contextlib.suppress(Exception):
            self._look(ended=True)

    def _look(self, *, ended: bool) -> None:
        with self._lock:
            try:
                now = snapshot()
            except RuntimeError:
                now = None  # the program turned it off: what was seen so far stands
            if now is not None:
                self._add(now, ended=ended)
            self._write(ended=ended)

    def _add(self, now: Snapshot, *, ended: bool) -> None:
        if self._last is not None and now.uptime < self._last.uptime:
            self._window.clear()  # another installation, whose numbers begin anew
        # Until the window is full the findings are of the time since the start.
        previous = self._window[0] if len(self._window) == _WINDOW else None
        self._looks += 1
        # At its end a program cancels what is under way: that says nothing of its life, unless that
        # was shorter than a few looks.
        if not ended or self._looks <= _FEW_LOOKS:
            self._seen.add(report_on(now, previous), time.monotonic() - self._started)
        self._window.append(now)
        if self._last is None or _requests(now):
            self._last = now
        if any(pool.requests for pool in now.pools):
            self._busy = now

    def _write(self, *, ended: bool) -> None:
        last = self._last
        content: dict[str, Any] = {
            "pid": os.getpid(),
            "command": [Path(sys.orig_argv[0]).name, *_script(sys.orig_argv[1:2])],
            "ended": ended,
            "requests": _requests(last) if last else 0,
            "findings": [seen.to_dict() for seen in self._seen.ordered()],
            "text": str(self._busy or last) if last and _requests(last) else None,
        }
        changed = json.dumps(content)
        if changed == self._written:
            return
        content["seconds"] = time.monotonic() - self._started
        try:
            self._directory.write(f"{os.getpid()}.json", content)
        except FileNotFoundError:
            self._stopped.set()  # the doctor has gone, and its directory with it
            raise
        self._written = changed


def _script(arguments: Sequence[str]) -> list[str]:
    # What is no script may hold code or a key: of an option its letter is told.
    # A pathlib.Path raises for what is too long to be a name.
    return [
        argument[:2] if argument.startswith("-") else Path(argument).name
        for argument in arguments
        if argument.startswith("-") or os.path.exists(argument)  # noqa: PTH110
    ]


def _requests(of: Snapshot) -> int:
    return sum(origin.requests_entered for total in of.totals for origin in total.origins)


def arm(directory: str) -> None:
    """Turn the instrumentation on where nobody has, and record into the directory."""
    turn_on_until_the_program_does()
    recorder = Recorder(Path(directory))
    recorder.start()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=recorder.after_fork_in_child)

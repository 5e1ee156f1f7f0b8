"""Runs a suite with a time limit."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import FOLDER, OUTCOMES
from .comparing import Run, read
from .preparing import ROOT
from .suites import Suite

_GRACE = 20.0
"""Seconds for a process to end once all tests have run: some leave threads behind."""
_LOOK = 0.2
_TIMEOUT = 1800.0
"""Seconds for one run of a suite."""


@dataclass(slots=True)
class Finished:
    """A run, and what the instrumentation counted."""

    run: Run
    seen: Counter[str]
    hung: bool
    """Whether the process had to be killed."""
    output: str
    """The end of its output."""


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs one suite in its environment."""

    suite: Suite
    folder: Path
    interpreter: Path

    @property
    def title(self) -> str:
        """The suite's label, or its name, and its version."""
        version = self.folder.name.removeprefix(self.suite.name)
        return (self.suite.label or self.suite.name) + version

    def run(self, *, on: bool, files: Sequence[str] = ()) -> Finished:
        """Run all tests, or those of some files; ``on``: with the instrumentation."""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as written:
            outcomes, output = Path(written, "outcomes"), Path(written, "output")
            outcomes.touch()
            ours = ("recording", "plugin") if on else ("recording",)
            plugins = (*(f"{__package__}.{name}" for name in ours), *self.suite.plugins)
            command = [
                self.interpreter.with_name("pytest"),
                "-q",
                *(word for name in plugins for word in ("-p", name)),
                f"--override-ini=cache_dir={written}/cache",
                *self.suite.arguments,
                *(files or (self.suite.tests,)),
            ]
            environment = {
                **os.environ,
                "PYTHONPATH": str(ROOT / "tests"),
                "PYTHONDONTWRITEBYTECODE": "1",
                OUTCOMES: str(outcomes),
                FOLDER: written,
            }
            with output.open("wb") as writing:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=writing,
                    stderr=subprocess.STDOUT,
                    cwd=self.folder,
                    env=environment,
                    start_new_session=True,
                )
                hung = not self._wait(process, outcomes)
            return Finished(
                read(outcomes.read_text().splitlines()),
                _seen(Path(written)),
                hung,
                output.read_text(errors="replace")[-3000:],
            )

    def _wait(self, process: subprocess.Popen[bytes], outcomes: Path) -> bool:
        """Return whether the process ended by itself; else kill it and all that it started."""
        deadline = time.monotonic() + _TIMEOUT
        done = False
        try:
            while process.poll() is None and time.monotonic() < deadline:
                if not done and read(outcomes.read_text().splitlines()[-1:]).finished:
                    done = True
                    deadline = min(deadline, time.monotonic() + _GRACE)
                time.sleep(_LOOK)
            return process.poll() is not None
        finally:
            # Its own session, which contains no other processes.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _seen(folder: Path) -> Counter[str]:
    """The counts of a run, summed over its processes."""
    seen: Counter[str] = Counter()
    for file in folder.glob("seen-*.json"):
        seen.update(json.loads(file.read_text()))
    return seen

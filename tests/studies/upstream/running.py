"""Runs a suite, within bounds."""

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
"""Seconds that a process has to end once all tests have run: some leave threads behind."""
_LOOK = 0.2
_TIMEOUT = 1800.0
"""Seconds for one run of a suite."""


@dataclass(slots=True)
class Finished:
    """A run, and what the instrumentation saw of it."""

    run: Run
    seen: Counter[str]
    hung: bool
    """Whether the process had to be ended."""
    output: str
    """Its end."""


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs one suite in its environment."""

    suite: Suite
    folder: Path
    interpreter: Path

    @property
    def title(self) -> str:
        """The suite and its version; of one that is run in several ways which of them."""
        version = self.folder.name.removeprefix(self.suite.name)
        return (self.suite.label or self.suite.name) + version

    def run(self, *, on: bool, files: Sequence[str] = ()) -> Finished:
        """All tests, or those of some files; ``on``: with the instrumentation."""
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
        """Whether the process ended by itself; else it is ended, and all that it started."""
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
            # The session that was made for it: nobody else's processes are in there.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _seen(folder: Path) -> Counter[str]:
    """Summed up over the processes of a run."""
    seen: Counter[str] = Counter()
    for file in folder.glob("seen-*.json"):
        seen.update(json.loads(file.read_text()))
    return seen

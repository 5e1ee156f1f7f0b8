"""A pytest plug-in, ``-p studies.upstream.recording``, that writes each test's outcome as it ends.

It writes line by line, so that the outcomes until then are kept if a run hangs or crashes.
Loaded with the instrumentation off and on.
"""

import json
import os
from pathlib import Path

import pytest

from . import OUTCOMES

FINISHED = "finished"
"""The first item of the last line."""


class _Recorder:
    """Runs in pytest's main process, which receives the reports of all workers."""

    def __init__(self, file: Path) -> None:
        self._lines = file.open("w")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note one phase of one test."""
        self._write([report.nodeid, report.when, _outcome(report), str(report.longrepr or "")])

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that can't be collected."""
        if report.failed:
            self._write([report.nodeid, "collect", "failed", str(report.longrepr)])

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Record that all tests have run; only the end of the process follows."""
        self._write([FINISHED, int(exitstatus), "", ""])

    def _write(self, line: list[object]) -> None:
        self._lines.write(json.dumps(line) + "\n")
        self._lines.flush()


def _outcome(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    return report.outcome


def pytest_configure(config: pytest.Config) -> None:
    """Register the recorder, unless this is a worker."""
    name = os.environ.get(OUTCOMES)
    if name and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Recorder(Path(name)), "gluellm-recorder")

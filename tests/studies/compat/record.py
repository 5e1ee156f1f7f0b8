"""A pytest plug-in that keeps what is installed and what came of the tests, as JSON.

``-p record --environment NAME --kept FOLDER``. Only pytest and the standard library.
"""

from __future__ import annotations

import json
import platform
import re
from importlib.metadata import distributions
from pathlib import Path

import pytest

_CANARY = "canary-"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--environment", help="the environment's name")
    parser.addoption("--kept", type=Path, help="the folder of the records")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Write the record. For a canary also name the pre-releases."""
    stats, python = terminalreporter.stats, platform.python_version()
    failed = [report.nodeid for kind in ("failed", "error") for report in stats.get(kind, ())]
    found = [(each.name, each.version) for each in distributions() if each.name]
    versions = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}
    name, folder = config.option.environment, config.option.kept
    record = {
        "name": name,
        "python": python,
        "passed": len(stats.get("passed", ())),
        "skipped": len(stats.get("skipped", ())),
        "failed": failed,
        "versions": dict(sorted(versions.items())),
    }
    folder.mkdir(parents=True, exist_ok=True)
    minor = ".".join(python.split(".")[:2])
    (folder / f"{name}-{minor}.json").write_text(json.dumps(record, indent=1))
    if name.startswith(_CANARY):
        # OpenTelemetry's contrib packages have only had betas.
        early = [
            f"{each} {version}"
            for each, version in record["versions"].items()
            if re.search(r"(a|b|rc|\.dev)\d", version) and not each.startswith("opentelemetry-")
        ]
        terminalreporter.write_line(f"{name}, pre-releases installed: {', '.join(early) or 'none'}")

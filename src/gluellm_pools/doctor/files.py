"""``doctor FILE``: judge saved snapshots. ``--save``: write one."""

from __future__ import annotations

import argparse
import functools
import gzip
import json
import sys
from pathlib import Path
from typing import Any

from gluellm_diagnosis.findings import Severity
from gluellm_diagnosis.report import report_on
from opentelemetry.instrumentation.gluellm.snapshots.format import content_of
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot
from opentelemetry.instrumentation.gluellm.text import counted

from ..arguments import CommandError, write_output
from ..text import printable, printable_lines
from .outlook import Outlook

_LONGEST_NAME = 200
_SAME_START = 60.0
"""Seconds by which the wall clock may be set between two snapshots of a process. In containers
different processes have the same PID."""


@functools.cache
def _say_once(line: str) -> None:
    print(f"gluellm-pools doctor: {line}", file=sys.stderr)


def rule_failed(error: Exception) -> None:
    """Print a line on the first exception of each type that a rule raises."""
    _say_once(f"a rule failed with {type(error).__name__}: its finding may be missing")


def judge(options: argparse.Namespace) -> int:
    """Print the report on one or two saved snapshots, and return the exit status.

    Raises CommandError.
    """
    *earlier, now = [_snapshot(name) for name in options.files]
    before = earlier[0] if earlier else None
    if before is not None:
        starts = [one.taken_at - one.uptime for one in (before, now)]
        if before.process.pid != now.process.pid or abs(starts[1] - starts[0]) > _SAME_START:
            raise CommandError("the two snapshots are of two processes: give two of one process")
        if before.uptime >= now.uptime:
            raise CommandError("the first snapshot is not the earlier one: give BEFORE, then AFTER")
    try:
        report = report_on(now, before, failed=rule_failed).to_dict()
        Outlook.of(options).add_to(report, now)
    except Exception as error:  # numbers and texts that no process can have
        raise CommandError(f"the snapshot can't be judged: {type(error).__name__}") from None
    return print_report(report, options)


def print_report(report: dict[str, Any], options: argparse.Namespace) -> int:
    """Print a report, and return the exit status that it means."""
    text = json.dumps(report, indent=2) if options.json else printable_lines(report["text"])
    write_output(text, options.output)
    severities = [one.get("severity") for one in report["findings"] if isinstance(one, dict)]
    return int(Severity.WARNING in severities or Severity.ERROR in severities)


def save(content: Any, path: Path) -> None:
    """Write a process's snapshot to a file, and print what it has. Raises OSError."""
    data = json.dumps(content).encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    pools, requests = content["pools"], sum(len(pool["requests"]) for pool in content["pools"])
    print(
        f"gluellm-pools doctor: wrote {printable(path, _LONGEST_NAME)}, "
        f"{path.stat().st_size / 1000:.0f} kB: {counted(len(pools), 'pool')}, "
        f"{counted(requests, 'request')} in flight. It has hosts, models, trace IDs, and files and "
        "lines of the application; no path or query of a URL, no header, key, prompt or answer.",
        file=sys.stderr,
    )


def _snapshot(name: str) -> Snapshot:
    shown = "standard input" if name == "-" else printable(name, _LONGEST_NAME)
    try:
        if name == "-":
            return Snapshot.from_dict(content_of(sys.stdin.buffer))
        with Path(name).open("rb") as file:
            return Snapshot.from_dict(content_of(file))
    except OSError as error:
        raise CommandError(f"can't read {shown}: {error.strerror}") from None
    except ValueError as error:
        raise CommandError(f"{shown} is no snapshot that can be judged: {error}") from None

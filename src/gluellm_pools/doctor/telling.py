"""What the doctor says of a program's run, on standard error: standard output is the program's."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..text import printable, printable_lines, seconds

_NAME = 60
_LONGEST_ERROR = 300
_BEGIN = "gluellm-pools doctor:"


def tell(directory: Path, pid: int, program: Sequence[str], status: int | None) -> None:
    """Print what is known; ``status`` is None while the program still runs."""
    sys.stdout.flush()
    print("\n".join(_lines(_reports(directory), pid, program, status)), file=sys.stderr, flush=True)


def _reports(directory: Path) -> list[dict[str, Any]]:
    reports = []
    for path in sorted(directory.glob("*.json"), key=lambda path: int(path.stem)):
        try:
            reports.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue  # half-written by a process that could not even record
    return reports


def _lines(
    reports: list[dict[str, Any]], pid: int, program: Sequence[str], status: int | None
) -> list[str]:
    name = printable(_name_of(program), _NAME)
    how = _how_it_ended(status)
    with_calls = [report for report in reports if report.get("requests")]
    lines = ["", f"{_BEGIN} {name} {how}"]
    for report in with_calls:
        lines += _told(report, len(with_calls) > 1 or report["pid"] != pid)
    if not with_calls:
        lines += _nothing_seen(reports, pid, status)
    return lines


def _name_of(program: Sequence[str]) -> str:
    # The program and its script; further arguments may hold a key.
    words = [Path(program[0]).name]
    # A pathlib.Path raises for what is too long to be a name.
    if len(program) > 1 and os.path.isfile(program[1]):  # noqa: PTH113
        words.append(program[1])
    return shlex.join(words)


def _how_it_ended(status: int | None) -> str:
    if status is None:
        return "goes on; this was found so far"
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def _told(report: dict[str, Any], which: bool) -> list[str]:
    calls = "request" if report["requests"] == 1 else "requests"
    whose = ""
    if which:
        whose = f"process {report['pid']} ({printable(' '.join(report['command']), _NAME)}), "
    lines = [f"{whose}{report['requests']} {calls} in {seconds(report['seconds'])}"]
    if report["text"]:
        seen = printable_lines(report["text"])
        lines += ["", "The last that was seen of requests under way:", seen]
    # Last, since that is what stays in sight in a terminal.
    lines.append("")
    if not report["findings"]:
        lines.append("no findings")
    for finding in report["findings"]:
        lines += [printable_lines(finding["text"]), f"  when:  {_when(finding)}", ""]
    return lines[:-1] if report["findings"] else lines


def _when(finding: dict[str, Any]) -> str:
    first, last = seconds(finding["first"]), seconds(finding["last"])
    return f"{first} after the start" if first == last else f"{first} to {last} after the start"


def _nothing_seen(reports: list[dict[str, Any]], pid: int, status: int | None) -> list[str]:
    failed = [report for report in reports if "error" in report]
    recorded = [report for report in reports if "error" not in report]
    if failed and not recorded:
        report = failed[0]
        error = printable(report["error"], _LONGEST_ERROR)
        if report["missing"]:
            return [
                f"Nothing was seen: {report['python']} lacks a package ({error}).",
                "Install opentelemetry-instrumentation-gluellm where the program runs.",
            ]
        return [f"Nothing was seen: the instrumentation failed to start ({error})."]
    if not recorded:
        return [
            "Nothing was seen: it is no Python program, or its Python ignores PYTHONPATH (-E, -I).",
        ]
    lines = [
        "No LLM call was seen. Seen are calls through any-llm or GlueLLM; with",
        "OTEL_PYTHON_GLUELLM_SCOPE=all those of every client of httpx, httpx2, aiohttp, urllib3",
        "and gRPC too.",
    ]
    own = next((report for report in recorded if report["pid"] == pid), None)
    if own is not None and not own["ended"] and status is not None and status >= 0:
        lines.append("The program replaced itself (exec), or left without clearing up (os._exit).")
    return lines

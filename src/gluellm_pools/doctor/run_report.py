"""Report on a program that ran under the doctor, from the files that its processes wrote."""

from __future__ import annotations

import json
import os
import shlex
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentelemetry.instrumentation.gluellm.text import counted

from ..text import printable, printable_lines, seconds

_LONGEST_NAME = 60
_LONGEST_ERROR = 300


def run_report(
    directory: Path, pid: int, program: Sequence[str], status: int | None, *, as_json: bool
) -> str:
    """Return the report.

    ``status`` is negative if a signal ended the program, None if it has not ended after one.
    """
    processes = []
    for path in sorted(directory.glob("*.json"), key=lambda path: int(path.stem)):
        try:
            processes.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue  # incomplete: the process was killed while it wrote that recording failed
    if as_json:
        content = {"program": _name(program), "status": status, "processes": processes}
        return json.dumps(content, indent=2)
    lines = [f"gluellm-pools doctor: {_name(program)} {_end(status)}"]
    with_calls = [process for process in processes if process.get("requests")]
    for process in with_calls:
        lines += _process_lines(process, named=len(with_calls) > 1 or process["pid"] != pid)
    return "\n".join(lines if with_calls else lines + _why_empty(processes))


def _name(program: Sequence[str]) -> str:
    # The program and its script: other arguments may contain a key. A pathlib.Path raises for a
    # name that is too long.
    script = [argument for argument in program[1:2] if os.path.isfile(argument)]  # noqa: PTH113
    return printable(shlex.join([Path(program[0]).name, *script]), _LONGEST_NAME)


def _end(status: int | None) -> str:
    if status is None:
        return "has not ended after the signal; this is the report until now"
    if status >= 0:
        return f"ended with status {status}"
    names = [known.name for known in signal.Signals if known == -status]
    return f"was ended by {names[0] if names else f'signal {-status}'}"


def _process_lines(process: dict[str, Any], *, named: bool) -> list[str]:
    line = f"{counted(process['requests'], 'request')} in a run of {seconds(process['seconds'])}"
    if named:
        name = printable(" ".join(process["command"]), _LONGEST_NAME)
        line = f"process {process['pid']} ({name}), {line}"
    lines = [line, "", "Last snapshot, if possible with requests in flight:"]
    lines.append(printable_lines(process["text"]))
    # The findings come last: that is what stays visible in a terminal.
    for finding in process["findings"]:
        first, last = (seconds(finding[name]) for name in ("first", "last"))
        when = first if first == last else f"{first} to {last}"
        end = f" (repeated; shown: the last {finding['severity'].upper()})" if first != last else ""
        text = printable_lines(finding["text"])
        lines += ["", text, f"  {'when:':<13}{when} after the process started{end}"]
    lines += [] if process["findings"] else ["", "no problem found"]
    return lines + (["", printable_lines(process["outlook"])] if process.get("outlook") else [])


def _why_empty(processes: list[dict[str, Any]]) -> list[str]:
    if not processes:
        return ["Nothing was recorded: it is no Python program, or its Python ignores PYTHONPATH."]
    failed = [process for process in processes if "error" in process]
    if len(failed) < len(processes):
        return [
            "No request was observed through httpx, httpx2, aiohttp, urllib3 or gRPC. If the",
            'program sent any, its code or environment sets another scope than "all".',
        ]
    error = printable(failed[0]["error"], _LONGEST_ERROR)
    return [
        f"Nothing was recorded: the instrumentation failed to start ({error}).",
        f"Is opentelemetry-instrumentation-gluellm installed for {failed[0]['python']}?",
    ]

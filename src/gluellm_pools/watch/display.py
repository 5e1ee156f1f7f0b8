"""What is shown of each process: redrawn on a terminal, as lines anywhere else, or as JSON."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from opentelemetry.instrumentation.gluellm.environment import ENVIRONMENT_PREFIX
from opentelemetry.instrumentation.gluellm.telemetry.semconv import SCOPE_NAME

from ..render import health_lines, row_block, row_label, row_line
from ..screens import live_area
from ..text import printable, seconds
from ..view import Key, PoolView, Row, View
from .intake import Intake
from .processes import Process

_LINES_EVERY = 5.0
"""Seconds between two reports of a process as lines, at least."""
MOST_POOLS = 30
"""Bound on the pools, and on the providers of calls, that are shown for one process."""
_LONGEST_LINE = 200
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MIXED = (
    "MIXED UP: two processes export under this name and overwrite each other's numbers. Give each "
    "its own service.instance.id in OTEL_RESOURCE_ATTRIBUTES."
)
_NOT_INSTRUMENTED = (
    f"Its metrics arrive (scopes: {{}}), but none of {SCOPE_NAME}. Is "
    "GlueLLMInstrumentor().instrument() called in it, with the same meter provider?"
)
_NO_POOL = (
    "Instrumented, but no request has been observed yet. Requests that call no LLM are observed "
    f"only with {ENVIRONMENT_PREFIX}SCOPE=all."
)
_Blocks = frozenset[tuple[Process, Key]]


class Judged(NamedTuple):
    """Calls or a pool, with the verdict of the process."""

    key: Key
    row: Row
    verdict: str | None

    @property
    def rank(self) -> int:
        """0 for an error, 1 for a warning, 2 without a finding."""
        return _rank([self.verdict] if self.verdict else [])

    @property
    def as_json(self) -> dict[str, Any]:
        """For programs: the fields of CallsView or PoolView."""
        numbers = {field.name: getattr(self.row, field.name) for field in fields(self.row)}
        if isinstance(self.row, PoolView):
            wait = self.row.wait
            found = {f"p{share}": wait.quantile(share / 100) for share in (50, 95, 99)}
            estimated = {name: each and each[0] for name, each in found.items()}
            numbers["wait"] = {"mean": wait.mean, "estimated": estimated}
            numbers["providers"] = sorted(self.row.providers)
            numbers["hosts"] = sorted(self.row.hosts)
        return {**asdict(self.key), "verdict": self.verdict, **numbers}


@dataclass(frozen=True, slots=True)
class ProcessReport:
    """One process."""

    process: Process
    view: View
    calls: list[Judged]
    """Calls by provider, those with errors first."""
    pools: list[Judged]
    """Pools that had a request, those with errors first."""
    findings: list[str]
    """Verdicts on the process, and on calls and pools that are not shown."""
    warnings: list[str]
    """Reasons to doubt the numbers, or why there are none."""

    @property
    def rank(self) -> tuple[bool, int]:
        """Sort key: processes with errors first, silent ones last."""
        verdicts = (one.verdict for one in (*self.calls, *self.pools) if one.verdict)
        return self.process.silent, _rank([*self.findings, *verdicts])

    @property
    def heading(self) -> str:
        """Name, age of the last export, and the period of the counters."""
        process, over = self.process, self.view.over
        service, instance = process.identity
        name = f"{service} ({instance[:8] if _UUID.fullmatch(instance) else instance})"
        parts = [f"{'SILENT, ' if process.silent else ''}exported {process.silence:.0f} s ago"]
        if process.exports > 1:
            parts.append(f"every {seconds(process.interval)}")
        parts.append(f"counted over {over:.0f} s" if over else "counted since process start")
        if not self.view.judgements and process.exports:
            parts.append("not judged" if self.view.judgements is None else "not judged yet")
        return f"{name if instance else service}: {', '.join(parts)}"

    @property
    def lines(self) -> list[str]:
        """For logs and pipes: a line for the calls of each provider and each pool."""
        rows = [row_line(*found) for found in (*self.calls, *self.pools)]
        below = [*self.findings, *rows, *self.warnings]
        return [self.heading, *(f"  {line}" for line in below)]

    @property
    def as_json(self) -> dict[str, Any]:
        """For programs."""
        service, instance = self.process.identity
        return {
            "service": service,
            "instance": instance,
            "silent": self.process.silent,
            "last_export_seconds_ago": self.process.silence,
            "counters_over_seconds": self.view.over,
            "judgements": self.view.judgements,
            "findings": self.findings,
            "warnings": self.warnings,
            "calls": [found.as_json for found in self.calls],
            "pools": [found.as_json for found in self.pools],
        }


def reports_of(processes: Iterable[Process]) -> list[ProcessReport]:
    """Reports of the processes, those with errors first."""
    return sorted(map(_report_of, processes), key=lambda report: report.rank)


def _rank(verdicts: Sequence[str]) -> int:
    return 2 if not verdicts else int(not any(one.startswith("error") for one in verdicts))


def _report_of(process: Process) -> ProcessReport:
    view, busy = process.recent(), process.view().busy().pools
    if process.mixed or process.silent:
        # Mixed numbers of two processes mean nothing, and a silent process has old ones.
        view = replace(view, findings={})
    calls, pools = (
        sorted(
            (Judged(key, row, view.verdict(key)) for key, row in rows.items()),
            key=lambda found: found.rank,
        )
        for rows in (view.calls, {key: view.pools[key] for key in busy})
    )
    findings = [
        found.verdict if subject is None else f"{found.verdict} ({row_label(subject)})"
        for subject, its in view.findings.items()
        for found in its
        if subject not in view.calls and subject not in busy
    ]
    warnings = [_MIXED] if process.mixed else []
    for rows, what in ((calls, "providers"), (pools, "pools")):
        if len(rows) > MOST_POOLS:
            warnings.append(f"and {len(rows) - MOST_POOLS} more {what}")
    warnings += [printable(line, _LONGEST_LINE) for line in health_lines(view)]
    if not process.exports:
        warnings.append(_NOT_INSTRUMENTED.format(", ".join(sorted(process.scopes))))
    elif not (view.pools or view.calls):
        warnings.append(_NO_POOL)
    shown = calls[:MOST_POOLS], pools[:MOST_POOLS]
    return ProcessReport(process, view, *shown, sorted(findings)[:MOST_POOLS], warnings)


def _listening(url: str) -> str:
    return f"Listening on {url} for OTLP/HTTP. Ctrl-C ends."


def instructions(url: str, intake: Intake) -> list[str]:
    """What to do while no metrics arrive."""
    only = f", only {' and '.join(sorted(intake.not_shown))}" if intake.not_shown else ""
    return [
        f"No metrics arrive{only}. In a program's environment, set",
        f"  OTEL_EXPORTER_OTLP_ENDPOINT={url}",
        "  OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
        "  OTEL_METRIC_EXPORT_INTERVAL=2000",
        "  OTEL_PYTHON_GLUELLM_FINDINGS_INTERVAL=5",
        "and start it with opentelemetry-instrument, or let it call",
        "GlueLLMInstrumentor().instrument() and set a MeterProvider that exports. To see",
        "here, and not in its terminal, what it logs, such as the evidence of a finding,",
        "install opentelemetry-instrumentation-logging in its environment.",
    ]


class Display:
    """Shows nothing until the end."""

    def __init__(self, url: str, intake: Intake) -> None:
        self._url = url
        self._intake = intake

    def start(self) -> None:
        """Called before the first `show`."""

    def show(self) -> None:
        """Called twice a second."""

    def finish(self) -> None:
        """Called after the last `show`."""


class LiveDisplay(Display):
    """A frame that is redrawn."""

    def __init__(self, url: str, intake: Intake, console: Console) -> None:
        super().__init__(url, intake)
        self._area = live_area(console)

    def start(self) -> None:
        self._area.start()

    def show(self) -> None:
        intake, width = self._intake, self._area.console.width
        head = [Text(_listening(self._url), style="bold"), Text()]
        if not intake.processes:
            head[1:1] = _wrapped(instructions(self._url, intake), width)
        height = self._area.console.height - 1 - len(head)
        foot = _wrapped(intake.messages.latest(), width, "yellow")[-(height // 3) :]
        rows = frame(reports_of(intake.processes.values()), width, height - len(foot))
        joined = Text("\n", no_wrap=True, overflow="ellipsis").join([*head, *rows, *foot])
        self._area.update(joined, refresh=True)

    def finish(self) -> None:
        try:
            self.show()
        finally:
            self._area.stop()


def frame(reports: Sequence[ProcessReport], width: int, room: int) -> list[Text]:
    """Reports in so many rows: calls and pools as blocks while there is room, others as lines.

    Those with findings become blocks first, and the first of these in any case.
    """
    found = [(report, row) for report in reports for row in (*report.calls, *report.pools)]
    found.sort(key=lambda one: not one[1].verdict)
    blocks: _Blocks = frozenset()
    rows = list(_rows(reports, blocks, width))
    for report, row in found:
        more = blocks | {(report.process, row.key)}
        longer = list(_rows(reports, more, width))
        if len(longer) > room and (blocks or not row.verdict):
            break
        blocks, rows = more, longer
    if len(rows) <= room:
        return rows
    kept = max(room - 1, 0)
    cut = f"{len(rows) - kept} more lines: make the terminal taller"
    return [*rows[:kept], Text(cut, style="dim")]


def _rows(reports: Sequence[ProcessReport], blocks: _Blocks, width: int) -> Iterator[Text]:
    for report in reports:
        process = report.process
        yield Text(report.heading, style="bold yellow" if process.silent else "bold")
        yield from _wrapped(report.findings, width, "red")
        for row in (*report.calls, *report.pools):
            text = Text(row_line(*row), style="red" if row.verdict else "")
            if (process, row.key) in blocks:
                text = row_block(row.key, row.row, width, row.verdict)
            yield from (Text(text.plain, style="dim") if process.mixed else text).split()
        yield from _wrapped(report.warnings, width, "yellow")
        yield Text()


def _wrapped(lines: Iterable[str], width: int, style: str = "") -> list[Text]:
    return [Text(part, style) for line in lines for part in textwrap.wrap(line, max(width, 1))]


class LineDisplay(Display):
    """Lines: of each process after it exported, and of everything else when it happens."""

    def __init__(self, url: str, intake: Intake, console: Console) -> None:
        super().__init__(url, intake)
        self._console = console
        self._shown: dict[Process, tuple[float, float, bool]] = {}
        """When each process was shown, with its last export and whether it was silent."""

    def start(self) -> None:
        self._print([_listening(self._url), *instructions(self._url, self._intake)])

    def show(self, every: float = _LINES_EVERY) -> None:
        now = self._intake.clock()
        self._print(self._intake.messages.unread())
        for report in reports_of(self._intake.processes.values()):
            process = report.process
            state = process.last_export, process.silent
            shown_at, *shown = self._shown.get(process, (now - every, 0.0, False))
            if state != tuple(shown) and now - shown_at >= every:
                self._shown[process] = now, *state
                self._print(report.lines)

    def finish(self) -> None:
        """Show what is new."""
        self.show(every=0.0)
        if not self._intake.processes:
            self._print(instructions(self._url, self._intake))

    def _print(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._console.print(line)


class JsonDisplay(Display):
    """One object at the end; standard output has nothing else."""

    def start(self) -> None:
        print(_listening(self._url), file=sys.stderr)

    def finish(self) -> None:
        found = {
            "processes": [report.as_json for report in reports_of(self._intake.processes.values())],
            "messages": self._intake.messages.unread(),
        }
        print(json.dumps(found, indent=2), flush=True)

"""What is told about the processes, in lines."""

from __future__ import annotations

import re

from opentelemetry.instrumentation.gluellm.environment import ENVIRONMENT_PREFIX
from opentelemetry.instrumentation.gluellm.telemetry.semconv import SCOPE_NAME
from opentelemetry.instrumentation.gluellm.text import counted, seconds

from ..render import health_lines, pool_line
from ..text import printable
from ..verdicts import late, reading, severity
from ..view import PoolKey, PoolView, View
from .intake import Intake
from .processes import Process

LEGEND = "Counts, waits and times are over the time told at the end of a process's line."
LOGS_PACKAGE = "opentelemetry-instrumentation-logging"
"""Hands records of `logging` to the SDK; opentelemetry-distro only sets up where these go."""
MIXED = (
    "MIXED UP: two processes export under this name and overwrite each other, so the numbers below "
    "are nobody's. Give each its own service.instance.id in OTEL_RESOURCE_ATTRIBUTES"
)
MOST_POOLS = 30
"""Pools told of one process."""
_LONGEST_LINE = 200
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def environment_lines(url: str) -> list[str]:
    """What to set for a program to export here."""
    return [
        f"OTEL_EXPORTER_OTLP_ENDPOINT={url}",
        "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
        "OTEL_METRIC_EXPORT_INTERVAL=5000",
    ]


def waiting_lines(url: str) -> list[str]:
    """What to do, as long as nothing has come."""
    return [
        "Nothing has arrived yet. Start a program that exports its metrics over OTLP, with",
        *(f"  {line}" for line in environment_lines(url)),
        "and with GlueLLMInstrumentor().instrument() called in it (opentelemetry-instrument does).",
        f"Warnings, as of leaks with their line, come with logs: {LOGS_PACKAGE}",
        "must be installed there.",
    ]


def name_of(process: Process) -> str:
    """Service and instance, of a UUID its first part; all of it is printable already."""
    service, instance = process.identity.service, process.identity.instance
    if _UUID.fullmatch(instance):
        instance = instance[:8]
    return f"{service} ({instance})" if instance else service


def heading(process: Process) -> str:
    """Who, when it was last heard, and over which time its counters, waits and times are."""
    silence = f"heard {process.silence:.0f} s ago"
    if process.silent:
        silence = f"SILENT, last {silence}"
    elif process.interval is not None:
        silence += f", every {seconds(process.interval)}"
    if not process.exports:
        return f"{name_of(process)}, {silence}"
    _, window = process.recent()
    over = "since its start" if window is None else f"over {window:.0f} s"
    return f"{name_of(process)}, {silence}; counted {over}"


def doubts(process: Process, view: View) -> list[str]:
    """What makes a process's numbers doubtful, or why there are none."""
    lines = [printable(line, _LONGEST_LINE) for line in health_lines(view)]
    if not process.exports:
        scopes = f" (scopes: {', '.join(process.scopes)})" if process.scopes else ""
        lines.append(
            f"its metrics come{scopes}, but none of {SCOPE_NAME}: is "
            "GlueLLMInstrumentor().instrument() called in it, with the same meter provider?"
        )
    elif not view.pools:
        lines.append(
            "Instrumented, but no request has used a pool in its scope yet. To count requests "
            f"outside any-llm calls, set {ENVIRONMENT_PREFIX}SCOPE=all."
        )
    return lines


def pools_of(process: Process) -> tuple[list[tuple[PoolKey, PoolView]], View]:
    """Its pools that ever had a request, with the counters of the window; and the whole view.

    Those that suffer most come first.
    """
    shown, _ = process.recent()
    busy = process.view().busy().pools
    pools = [(key, pool) for key, pool in shown.pools.items() if key in busy]
    return sorted(pools, key=lambda found: severity(found[1]), reverse=True), shown


def process_lines(process: Process) -> list[str]:
    """For logs and pipes: a heading, and a line for each pool."""
    pools, view = pools_of(process)
    lines = [heading(process)]
    if process.clashes:
        lines.append(f"  {MIXED}")
    for key, pool in pools[:MOST_POOLS]:
        means = None if process.clashes else reading(pool, doubtful=late(view))
        lines.append(f"  {pool_line(key, pool, means)}")
    if len(pools) > MOST_POOLS:
        lines.append(f"  and {len(pools) - MOST_POOLS} more pools")
    return [*lines, *(f"  {line}" for line in doubts(process, view))]


def unshown_lines(intake: Intake) -> list[str]:
    """What came besides, and that metrics are missing where only that came."""
    parts = []
    if intake.spans:
        parts.append(counted(intake.spans, "span"))
    if intake.foreign_records:
        parts.append(counted(intake.foreign_records, "log record") + " of others")
    if not parts:
        return []
    lines = [f"received, and not shown: {' and '.join(parts)}"]
    if not len(intake.processes):
        lines.append(
            "no metrics come: has that program a MeterProvider with an OTLP exporter, or "
            "OTEL_METRICS_EXPORTER=otlp under opentelemetry-instrument?"
        )
    return lines

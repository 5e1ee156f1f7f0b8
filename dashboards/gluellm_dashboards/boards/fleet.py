"""The fleet board: how do instances differ?"""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.instrumentation.gluellm import thresholds

from .. import config, links
from ..panels import Line, Panel, figure, lines, words
from ..signals import fleet, process
from ..signals.signal import Signal
from ..style import GREEN, ORANGE, RED, Steps
from ..tables import Column, rows
from ..variables import POOL, PROVIDER, WINDOW
from . import shared
from .board import Board, Row

NEEDS_RULES = "No data: is anything exporting, and are the recording rules loaded?"
_READING = """\
**One instance** far above the others: look for a leak, a blocked loop or a different limit there. \
**All instances**: the provider, the load, or a limit that is too low everywhere. **All instances \
of one version**: a deploy. This board needs the recording rules; without them, it is empty.
"""
_INSTANCE = (config.JOB, config.INSTANCE)
_LEGEND = f"{{{{{config.JOB}}}}} {{{{{config.INSTANCE}}}}}"
_STUCK: Steps = [(thresholds.STUCK_ALERT_AFTER, RED)]
_TOP = 10


def board() -> Board:
    """Return the board."""
    return Board(
        uid=links.FLEET,
        title="GlueLLM pools: fleet",
        question="How is it across instances?",
        recorded=True,
        rows=[
            Row("", [words("How to read this board", _READING, height=3), *_status()]),
            Row("Where is something found?", [_found()]),
            Row("Which instances?", _worst()),
            Row("What differs between them?", _differs()),
            Row("Which can't be trusted?", _trust()),
        ],
    )


def _status() -> list[Panel]:
    return [
        _figure("Instances", fleet.INSTANCES, [(0, "blue")]),
        _figure("Gone in 1 h", fleet.GONE, [(0, GREEN), (1, ORANGE)]),
        _figure("Waiting", fleet.WAITING_INSTANCES, [(0, GREEN), (1, ORANGE)]),
        _figure(
            "Oldest waiter",
            fleet.OLDEST,
            shared.WAIT,
        ),
        _figure("Leaking", fleet.LEAKING_INSTANCES, [(0, GREEN), (1, ORANGE)]),
        _figure("Limits differ", fleet.DIFFERING, [(0, GREEN), (1, ORANGE)]),
        _figure(
            "Loop late",
            fleet.LATE,
            shared.LATE,
            window=config.RATE_WINDOW,
            no_value="none seen",
        ),
        _figure("Lack hooks", fleet.INSTANCES_MISSING_HOOKS, [(0, GREEN), (1, ORANGE)]),
    ]


def _found() -> Panel:
    return rows(
        "Which instances find something now?",
        {
            config.JOB: "Service",
            config.INSTANCE: "Instance",
            "host_name": "Host",
            "k8s_pod_name": "Pod",
            "process_pid": "PID",
        },
        [Column(title="Findings", signal=process.FINDINGS_OF_INSTANCE, decimals=0)],
        description=process.FINDINGS_OF_INSTANCE.tells,
        sort="Findings",
        recorded=True,
        no_value=shared.NOTHING_FOUND,
    )


def _worst() -> list[Panel]:
    return [
        _top("Which instances' calls fail?", fleet.CALLS_FAILING),
        _top("Where do calls take longest?", fleet.TIME_PER_CALL),
        _top("In which instances are calls silent?", fleet.CALLS_SILENT),
        _top("Which instances wait longest?", fleet.OLDEST, _STUCK),
        _top("In which instances do requests queue?", fleet.QUEUED),
        _top("Where are waits longest (p95)?", fleet.WAIT_MAX, _STUCK),
        _top("Which instances give up waiting?", fleet.POOL_TIMEOUTS),
        _top("Which instances churn through pools?", fleet.CHURN),
        lines(
            "How full are instances?",
            [
                Line(signal=fleet.OCCUPANCY_MAX, legend="fullest", recorded=True),
                Line(signal=fleet.OCCUPANCY_P90, legend="p90", recorded=True),
                Line(signal=fleet.OCCUPANCY_P50, legend="median", recorded=True),
                Line(signal=fleet.OCCUPANCY_MIN, legend="emptiest", recorded=True),
            ],
            steps=[(thresholds.OCCUPANCY_HIGH, ORANGE), (thresholds.OCCUPANCY_FULL, RED)],
            width=8,
            no_value=NEEDS_RULES,
        ),
    ]


def _differs() -> list[Panel]:
    return [
        lines(
            "How many instances have which limit?",
            [
                Line(
                    signal=fleet.LIMITS,
                    legend=f"{{{{{PROVIDER}}}}} / {{{{{POOL}}}}}: {{{{{fleet.LIMIT}}}}}",
                    recorded=True,
                    step="5m",  # limits change seldom, and to count values is slow
                )
            ],
            no_value=NEEDS_RULES,
            links=links.to_runbook("GlueLLMLimitDiffers"),
        ),
        lines(
            "Which versions report?",
            [Line(signal=fleet.VERSIONS, legend="{{job}} {{service_version}}", recorded=True)],
            stacked=True,
            no_value=NEEDS_RULES,
        ),
        rows(
            "Limits",
            {config.JOB: "Service", PROVIDER: "Provider", POOL: "Pool"},
            [
                Column(
                    title="Apart", signal=fleet.LIMITS_APART, steps=[(0, GREEN), (1e-9, ORANGE)]
                ),
                Column(title="Lowest", signal=fleet.LOWEST_LIMIT),
                Column(title="Highest", signal=fleet.HIGHEST_LIMIT),
                Column(title="With a limit", signal=fleet.LIMITED),
                Column(title="With the pool", signal=fleet.WITH_POOL),
                Column(title="Requests", signal=fleet.REQUESTS, decimals=2),
            ],
            description="Limit of a single pool, by service, provider and name, with the "
            "largest differences on top. `With a limit` and `With the pool` count "
            "instances. If they differ, the pool is unlimited in the others.",
            sort="Apart",
            recorded=True,
            height=9,
            no_value=NEEDS_RULES,
        ),
    ]


def _trust() -> list[Panel]:
    return [
        _top(
            "Which instances' event loops are late?",
            fleet.LATE,
            shared.LATE[1:],
            width=16,
            height=9,
            at_least_to=shared.LATE_SEEN,
            no_value="No async pool seen, or the recording rules are not loaded.",
        ),
        _top(
            "Which instances lack hooks, and how many?",
            fleet.MISSING_HOOKS,
            width=8,
            no_value="No instance lacks a hook, if the panels above have data.",
        ),
    ]


def _figure(
    title: str,
    signal: Signal,
    steps: Steps,
    *,
    window: str = WINDOW,
    no_value: str = "no data",
) -> Panel:
    return figure(title, signal, steps, window=window, recorded=True, no_value=no_value)


def _top(
    title: str,
    signal: Signal,
    steps: Steps = (),
    *,
    width: int = 8,
    height: int | None = None,
    at_least_to: float = 0,
    no_value: str = NEEDS_RULES,
) -> Panel:
    return lines(
        title,
        [Line(signal=signal, legend=_LEGEND, by=_INSTANCE, recorded=True, top=_TOP)],
        width=width,
        height=height,
        at_least_to=at_least_to,
        steps=steps,
        note=f"Only the {_TOP} highest are shown.",
        no_value=no_value,
        links=_to_instance(),
    )


def _to_instance() -> Sequence[links.Link]:
    instance = {
        "job": f"${{__field.labels.{config.JOB}}}",
        "instance": f"${{__field.labels.{config.INSTANCE}}}",
    }
    return [
        links.to_board("This instance", links.OVERVIEW, recorded=True, **instance),
        links.to_board("Why are its pools slow?", links.POOL, recorded=True, **instance),
    ]

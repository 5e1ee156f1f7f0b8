"""The fleet board: how do instances differ?"""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm import thresholds

from .. import config, links
from ..panels import Line, Panel, figure, lines, words
from ..signals import fleet, process
from ..signals.signal import Signal
from ..style import ORANGE, PLAIN, RED, Steps
from ..tables import Column, rows
from ..variables import POOL, PROVIDER
from . import shared
from .board import Board, Row

NEEDS_RULES = "No data: is anything exporting, and are the recording rules loaded?"
_READING = """\
**One instance** far above the others: look for a leak, a blocked loop or a different limit there. \
**All instances**: the provider, the load, or a limit that is too low everywhere. **All instances \
of one version**: a deploy. All but the first table needs the recording rules; without them, it is \
empty.
"""
_INSTANCE = (config.JOB, config.INSTANCE)
_LEGEND = f"{{{{{config.JOB}}}}} {{{{{config.INSTANCE}}}}}"
_TOP = 10


def board() -> Board:
    """Return the board."""
    return Board(
        uid=links.FLEET,
        title="GlueLLM pools: fleet",
        question="How is it across instances?",
        recorded=True,
        rows=[
            Row("", [words("How to read this board", _READING), _found()]),
            Row("Which instances?", [*_status(), *_worst()]),
            Row("What differs between them?", _differs()),
        ],
    )


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
        [Column("Findings", process.FINDINGS_OF_INSTANCE, decimals=0)],
        links={
            "Instance": _to_instance(
                job="${__data.fields.Service}", instance="${__data.fields.Instance}"
            )
        },
        sort="Findings",
        no_value='Nothing found, or not judged: see "Do processes judge themselves?" on the '
        "overview.",
    )


def _status() -> list[Panel]:
    return [
        figure(title, signal, steps, width=width)
        for title, signal, steps, width in (
            ("Instances", fleet.INSTANCES, PLAIN, 4),
            ("Gone in 1 h", fleet.GONE, shared.SOME, 5),
            ("Waiting", fleet.WAITING_INSTANCES, shared.SOME, 5),
            ("Limits differ", fleet.DIFFERING, shared.SOME, 5),
            ("Lack hooks", fleet.INSTANCES_MISSING_HOOKS, shared.SOME, 5),
        )
    ]


def _worst() -> list[Panel]:
    return [
        _top("Which instances' calls fail?", fleet.CALLS_FAILING),
        _top("Where do calls take longest?", fleet.TIME_PER_CALL),
        _top("In which instances are calls silent?", fleet.CALLS_SILENT),
        _top("Which instances wait longest?", fleet.OLDEST, shared.STUCK),
        _top("Which instances give up waiting?", fleet.POOL_TIMEOUTS),
        _top("Which instances churn through pools?", fleet.CHURN),
        _top("Which instances' event loops are late?", fleet.LATE, shared.LATE[1:]),
        lines(
            "How full are instances?",
            Line(fleet.OCCUPANCY_MAX, "fullest"),
            Line(fleet.OCCUPANCY_P90, "p90"),
            Line(fleet.OCCUPANCY_P50, "median"),
            Line(fleet.OCCUPANCY_MIN, "emptiest"),
            steps=[(thresholds.OCCUPANCY_HIGH, ORANGE), (thresholds.OCCUPANCY_FULL, RED)],
            width=16,
            no_value=NEEDS_RULES,
        ),
    ]


def _differs() -> list[Panel]:
    return [
        lines(
            "How many instances have which limit?",
            Line(
                fleet.LIMITS,
                f"{{{{{PROVIDER}}}}} / {{{{{POOL}}}}}: {{{{{fleet.LIMIT}}}}}",
                step="5m",  # limits change seldom, and to count values is slow
            ),
            no_value=NEEDS_RULES,
            width=12,
            links=links.to_runbook("GlueLLMLimitDiffers"),
        ),
        lines(
            "Which versions report?",
            Line(fleet.VERSIONS, "{{job}} {{service_version}}"),
            width=12,
            stacked=True,
            no_value=NEEDS_RULES,
        ),
        rows(
            "Limits",
            {config.JOB: "Service", PROVIDER: "Provider", POOL: "Pool"},
            [
                Column("Lowest", fleet.LOWEST_LIMIT),
                Column("Highest", fleet.HIGHEST_LIMIT),
                Column("With a limit", fleet.LIMITED),
                Column("With the pool", fleet.WITH_POOL),
            ],
            description="Limit of a single pool, by service, provider and name. `With a limit` "
            "and `With the pool` count instances. If they differ, the pool is unlimited in the "
            "others.",
            sort="Highest",
            no_value=NEEDS_RULES,
        ),
    ]


def _top(title: str, signal: Signal, steps: Steps = ()) -> Panel:
    return lines(
        title,
        Line(signal, _LEGEND, _INSTANCE, top=_TOP),
        steps=steps,
        note=f"Only the {_TOP} highest are shown.",
        no_value=NEEDS_RULES,
        links=_to_instance(
            job=f"${{__field.labels.{config.JOB}}}",
            instance=f"${{__field.labels.{config.INSTANCE}}}",
        ),
    )


def _to_instance(**instance: str) -> list[links.Link]:
    return [
        links.to_board("This instance", links.OVERVIEW, recorded=True, **instance),
        links.to_board("Why are its pools slow?", links.POOL, recorded=True, **instance),
    ]

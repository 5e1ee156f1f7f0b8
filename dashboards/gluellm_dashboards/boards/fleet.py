"""How is it across instances?"""

from __future__ import annotations

from .. import config, links
from ..panels import GREEN, ORANGE, Line, Panel, lines, states, words
from ..signals import connections, pools, process, waiting
from ..variables import POOL, PROVIDER
from .board import Board, Row

_INSTANCE = (config.INSTANCE,)
_LEGEND = f"{{{{{config.INSTANCE}}}}}"
_TOP = 10


def board() -> Board:
    """It."""
    return Board(
        uid=links.FLEET,
        title="GlueLLM pools: fleet",
        question="How is it across instances?",
        rows=[
            Row(
                "",
                [
                    words(
                        "How to read this board",
                        "One instance that waits while others don't is that instance; all of them "
                        "is the provider, the limit, or the load.",
                        height=3,
                    )
                ],
            ),
            Row("Where is it worst?", _worst()),
            Row("What differs?", _differs()),
        ],
    )


def _worst() -> list[Panel]:
    return [
        lines(
            "Which instances wait longest?",
            [Line(signal=waiting.OLDEST_WAITER, legend=_LEGEND, by=_INSTANCE, top=_TOP)],
        ),
        lines(
            "Which instances are fullest?",
            [Line(signal=connections.OCCUPANCY, legend=_LEGEND, by=_INSTANCE, top=_TOP)],
        ),
    ]


def _differs() -> list[Panel]:
    return [
        lines(
            "Do limits differ?",
            [
                Line(
                    signal=connections.LIMIT,
                    legend=f"{{{{{PROVIDER}}}}} / {{{{{POOL}}}}} highest",
                ),
                Line(
                    signal=connections.LOWEST_LIMIT,
                    legend=f"{{{{{PROVIDER}}}}} / {{{{{POOL}}}}} lowest",
                ),
            ],
        ),
        lines(
            "Which versions report?",
            [Line(signal=process.INSTANCES, legend="{{service_version}}", by=(config.VERSION,))],
            stacked=True,
        ),
        lines(
            "Which services churn through pools?",
            [Line(signal=pools.CHURN, legend="{{job}}", by=(config.JOB,))],
        ),
        states(
            "Which signals work?",
            [Line(signal=process.SEAMS, legend="{{gluellm_pool_library}} {{gluellm_seam}}")],
            {1: ("works", GREEN), 0: ("blind", ORANGE)},
            width=12,
        ),
        lines(
            "Does the instrumentation itself fail?",
            [
                Line(signal=process.ERRORS, legend="{{gluellm_instrumentation_kind}}"),
                Line(signal=process.RECORDS_DROPPED, legend="records dropped"),
            ],
            no_value="No error seen.",
        ),
    ]

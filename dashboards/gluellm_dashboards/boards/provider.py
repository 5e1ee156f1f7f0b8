"""The provider board: is it them or us?"""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm import thresholds

from .. import config, links
from ..panels import Line, Panel, figure, lines, words
from ..signals import calls, paging, requests
from ..style import GREEN, ORANGE, PHASE_COLORS, RED, by_status
from . import shared
from .board import Board, Row

_READING = f"""\
**Them**: the provider's time per request rises, it answers 5xx or 429, or reads time out. A queue \
is then the result. **The path**: connect failures, DNS, TLS. **Us**: the pool's time per request \
rises while the provider's is unchanged and its answers are good, or responses wait to be read. \
While an event loop is late for more than {thresholds.LATE_SHARE:.0%} of the time, the application \
causes the delay and the other figures prove nothing.
"""
_PARTS = {"provider": "#1f60c4", "pool": "#c4162a", "application": "#a352cc"}
_NEUTRAL = [(0, "blue")]
_ORIGIN = "server_address"


def board() -> Board:
    """Return the board."""
    return Board(
        uid=links.PROVIDER,
        opens_with_first=("job",),
        title="GlueLLM pools: is it them or us?",
        question="Is it the provider, the path, or us? Choose one provider.",
        rows=[
            Row("", [words("How to read this board", _READING, height=3), *_status()]),
            Row("Do calls to the provider hurt?", _calls()),
            Row("Whose time is it?", _time()),
            Row("What do they answer?", _answers()),
            Row("Can they be reached?", _reach()),
            Row("Which origin?", _origins()),
        ],
    )


def _status() -> list[Panel]:
    return [
        figure(
            "Provider's time per request",
            requests.TIME_AT_PROVIDER,
            _NEUTRAL,
            width=6,  # In less there is no room for a course.
            course=True,
            no_value=shared.NO_REQUEST,
        ),
        shared.error_statuses(),
        figure(
            "Sent again",
            requests.RESEND_SHARE,
            shared.RESENT,
            no_value=shared.NO_REQUEST,
        ),
        figure(
            "Connect failures",
            paging.CONNECT_FAILURES,
            [(0, GREEN), (0.5, ORANGE), (thresholds.CONNECT_FAILURE_ALERT_COUNT, RED)],
            window=config.RATE_WINDOW,
            links=links.to_runbook("GlueLLMFindingWarning"),
        ),
        *(
            figure(title, signal, _NEUTRAL, no_value=shared.NO_REQUEST)
            for title, signal in (
                ("Pool's share", requests.SHARE_OF_POOL),
                ("Application's", requests.SHARE_OF_APPLICATION),
            )
        ),
        shared.event_loop_late(),
    ]


def _calls() -> list[Panel]:
    return [
        shared.why_calls_fail(),
        lines(
            "How long do calls take?",
            [
                Line(signal=calls.TIME_PER_CALL, legend="mean", by=shared.ALL),
                Line(signal=calls.DURATION_P95, legend="p95", by=shared.ALL),
            ],
            width=8,
            no_value=shared.NO_CALLS,
        ),
        shared.where_calls_spend_time(),
    ]


def _time() -> list[Panel]:
    return [
        lines(
            "Which share of the time is whose?",
            [
                Line(signal=requests.SHARE_OF_PROVIDER, legend="provider"),
                Line(signal=requests.SHARE_OF_POOL, legend="pool"),
                Line(signal=requests.SHARE_OF_APPLICATION, legend="application"),
            ],
            stacked=True,
            most=1,
            colors=_PARTS,
            no_value=shared.NO_REQUESTS,
            calculations=("mean", "last"),
        ),
        lines(
            "How much time does each take for a request?",
            [
                Line(signal=requests.TIME_AT_PROVIDER, legend="provider", by=shared.ALL),
                Line(signal=requests.TIME_AT_POOL, legend="pool", by=shared.ALL),
                Line(signal=requests.TIME_AT_APPLICATION, legend="application", by=shared.ALL),
            ],
            colors=_PARTS,
            no_value=shared.NO_REQUESTS,
            calculations=("mean", "last", "max"),
        ),
        lines(
            "In which phase is time spent?",
            [Line(signal=share, legend=shared.PHASE) for share in shared.BY_PART],
            stacked=True,
            most=1,
            colors=PHASE_COLORS,
            no_value=shared.NO_REQUESTS,
            calculations=("mean", "last"),
        ),
        lines(
            "How long do requests hold a connection?",
            [
                Line(signal=requests.LEASE_P50, legend="p50", by=shared.ALL),
                Line(signal=requests.LEASE_P95, legend="p95", by=shared.ALL),
            ],
            no_value=shared.NO_REQUESTS,
        ),
    ]


def _answers() -> list[Panel]:
    return [
        lines(
            "Which status do they answer with?",
            [
                Line(
                    signal=requests.STATUSES,
                    legend="{{http_response_status_code}}{{rpc_response_status_code}}",
                    by=shared.ALL,
                )
            ],
            patterns=by_status(),
        ),
        lines(
            "Which requests fail without a status?",
            [Line(signal=requests.ERRORS, legend="{{error_type}}", by=shared.ALL)],
        ),
        lines(
            "Which share of requests is sent again?",
            [Line(signal=requests.RESEND_SHARE, legend="sent again", by=shared.ALL)],
            no_value=shared.NO_REQUESTS,
        ),
        shared.which_timeouts(width=12),
    ]


def _reach() -> list[Panel]:
    return [
        shared.why_connecting_fails(width=8, legend=f"{{{{{_ORIGIN}}}}}", by=(_ORIGIN,)),
        shared.how_long_connecting_takes(width=8),
        shared.do_reused_connections_fail(width=8),
    ]


def _origins() -> list[Panel]:
    origin = (_ORIGIN,)
    legend = f"{{{{{_ORIGIN}}}}}"
    return [
        lines(
            "How many requests are in flight to each?",
            [Line(signal=requests.ACTIVE_REQUESTS, legend=legend, by=origin)],
            width=6,
        ),
        lines(
            "How many requests end at each?",
            [Line(signal=requests.REQUESTS, legend=legend, by=origin)],
            width=6,
        ),
        lines(
            "How long does each take for a request?",
            [Line(signal=requests.TIME_AT_PROVIDER, legend=legend, by=origin)],
            width=6,
            no_value=shared.NO_REQUESTS,
        ),
        lines(
            "How long until each responds?",
            [Line(signal=requests.RESPONSE_WAIT_P95, legend=legend, by=origin)],
            width=6,
            no_value=shared.ONLY_FULL,
        ),
    ]

"""The provider board: is it them or us?"""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm import thresholds

from .. import links
from ..panels import Line, Panel, figure, lines, words
from ..signals import paging, requests
from ..style import PARTS_COLORS, PLAIN, STATUS_COLORS
from . import shared
from .board import Board, Row

_READING = f"""\
**Them**: the provider's time per request rises, it answers 5xx or 429, or reads time out. A queue \
is then the result. **The path**: connect failures, DNS, TLS. **Us**: the pool's time per request \
rises while the provider's is unchanged and its answers are good, or responses wait to be read. \
While an event loop is late for more than {thresholds.LATE_SHARE:.0%} of the time, the application \
causes the delay and the other figures prove nothing.
"""
_ORIGIN = "server_address"


def board() -> Board:
    """Return the board."""
    return Board(
        uid=links.PROVIDER,
        opens_with_first=("job",),
        title="GlueLLM pools: is it them or us?",
        question="Is it the provider, the path, or us? Choose one provider.",
        rows=[
            Row("", [words("How to read this board", _READING), *_status()]),
            Row("Whose time is it?", _time()),
            Row("What do they answer, and can they be reached?", _answers()),
            Row("Which origin?", _origins()),
        ],
    )


def _status() -> list[Panel]:
    refused = shared.limits(thresholds.REFUSED_WARNING, thresholds.REFUSED_MUCH)
    shares = requests.SHARE_OF_POOL, requests.SHARE_OF_APPLICATION
    return [
        figure(
            "Provider's time per request",
            requests.TIME_AT_PROVIDER,
            PLAIN,
            width=6,  # In less there is no room for a course.
            course=True,
            no_value=shared.NO_REQUEST,
        ),
        *(
            figure(title, signal, steps, no_value=shared.NO_REQUEST)
            for title, signal, steps in (
                ("Error statuses", requests.ERROR_STATUS_SHARE, refused),
                ("Sent again", requests.RESEND_SHARE, shared.RESENT),
                ("Connect failures", paging.CONNECT_FAILURES, shared.CONNECT_FAILURES),
                ("Pool's share", shares[0], PLAIN),
                ("Application's", shares[1], PLAIN),
            )
        ),
        shared.event_loop_late(),
    ]


def _time() -> list[Panel]:
    return [
        lines(
            "Which share of the time is whose?",
            Line(requests.SHARE_OF_PROVIDER, "provider"),
            Line(requests.SHARE_OF_POOL, "pool"),
            Line(requests.SHARE_OF_APPLICATION, "application"),
            width=12,
            stacked=True,
            most=1,
            colors=PARTS_COLORS,
            calculations=("mean", "last"),
        ),
        lines(
            "How much time does each take for a request?",
            Line(requests.TIME_AT_PROVIDER, "provider"),
            Line(requests.TIME_AT_POOL, "pool"),
            Line(requests.TIME_AT_APPLICATION, "application"),
            width=12,
            colors=PARTS_COLORS,
            calculations=("mean", "last", "max"),
        ),
    ]


def _answers() -> list[Panel]:
    status = "{{http_response_status_code}}{{rpc_response_status_code}}"
    return [
        lines(
            "Which status do they answer with?",
            Line(requests.STATUSES, status),
            colors=STATUS_COLORS,
        ),
        lines("Which requests fail without a status?", Line(requests.ERRORS, "{{error_type}}")),
        lines("Which share of requests is sent again?", Line(requests.RESEND_SHARE, "sent again")),
        shared.which_timeouts(width=12),
        shared.why_connecting_fails(width=12, by=(_ORIGIN,)),
    ]


def _origins() -> list[Panel]:
    return [
        lines(title, Line(signal, f"{{{{{_ORIGIN}}}}}", (_ORIGIN,)))
        for title, signal in (
            ("How many requests are in flight to each?", requests.ACTIVE_REQUESTS),
            ("How many requests end at each?", requests.REQUESTS),
            ("How long does each take for a request?", requests.TIME_AT_PROVIDER),
        )
    ]

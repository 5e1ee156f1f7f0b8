"""Is it them or us?"""

from __future__ import annotations

from .. import config, links
from ..panels import Line, Panel, figure, lines, words
from ..signals import connections, paging, process, requests, waiting
from ..style import GREEN, ORANGE, PHASE_COLORS, RED, by_status
from .board import Board, Row
from .overview import BY_PART

_READING = f"""\
**Them**: the provider's time per request rises, 5xx or 429 come, reads time out. **The way \
there**: connect failures, DNS, TLS. **Us**: the pool's time per request rises while the \
provider's is as always, or responses wait to be read. While an event loop lags by more than \
{config.LAG_WARNING:g} s it is us, and nothing else can be told.
"""
_PARTS = {"pool": "#c4162a", "provider": "#1f60c4", "application": "#a352cc"}
_ORIGIN = "server_address"
_ALL = ()
_NO_REQUESTS = "No requests in this range."


def board() -> Board:
    """It."""
    return Board(
        uid=links.PROVIDER,
        title="GlueLLM pools: is it them or us?",
        question="Is it the provider, the way there, or us? Choose one provider.",
        rows=[
            Row("", [words("How to read this board", _READING, height=4), *_status()]),
            Row("Whose time is it?", _time()),
            Row("What do they answer?", _answers()),
            Row("Can they be reached?", _reach()),
            Row("Which origin?", _origins()),
        ],
    )


def _status() -> list[Panel]:
    return [
        figure(
            "Pool's share",
            requests.SHARE_OF_POOL,
            [(0, GREEN), (0.1, ORANGE), (0.5, RED)],
            no_value="no requests",
        ),
        figure(
            "Provider's",
            requests.SHARE_OF_PROVIDER,
            [(0, "blue")],
            no_value="no requests",
        ),
        figure(
            "Application's",
            requests.SHARE_OF_APPLICATION,
            [(0, GREEN), (0.1, ORANGE), (0.5, RED)],
            no_value="no requests",
        ),
        figure(
            "Provider's time",
            requests.TIME_AT_PROVIDER,
            [(0, "blue")],
            no_value="no requests",
        ),
        figure("Requests", requests.REQUESTS, [(0, "blue")]),
        figure(
            "Sent again",
            requests.RESEND_SHARE,
            [(0, GREEN), (0.05, ORANGE), (0.25, RED)],
            no_value="no requests",
        ),
        figure(
            "Connect failures",
            paging.CONNECT_FAILURES,
            [(0, GREEN), (0.5, ORANGE), (config.CONNECT_FAILURE_COUNT, RED)],
            window=config.RATE_WINDOW,
            links=[links.to_runbook("GlueLLMConnectFailures")],
        ),
        figure(
            "Event loop lag",
            process.EVENT_LOOP_LAG,
            [(0, GREEN), (config.LAG_WARNING, ORANGE), (config.LAG_CRITICAL, RED)],
            no_value="none seen",
            links=[links.to_runbook("GlueLLMEventLoopBlocked")],
        ),
    ]


def _time() -> list[Panel]:
    return [
        lines(
            "Which share is whose?",
            [
                Line(signal=requests.SHARE_OF_POOL, legend="pool"),
                Line(signal=requests.SHARE_OF_PROVIDER, legend="provider"),
                Line(signal=requests.SHARE_OF_APPLICATION, legend="application"),
            ],
            stacked=True,
            most=1,
            colors=_PARTS,
            no_value=_NO_REQUESTS,
            calculations=("mean", "lastNotNull"),
        ),
        lines(
            "How much time does each take for a request?",
            [
                Line(signal=requests.TIME_AT_POOL, legend="pool", by=_ALL),
                Line(signal=requests.TIME_AT_PROVIDER, legend="provider", by=_ALL),
                Line(signal=requests.TIME_AT_APPLICATION, legend="application", by=_ALL),
            ],
            colors=_PARTS,
            no_value=_NO_REQUESTS,
            calculations=("mean", "lastNotNull", "max"),
        ),
        lines(
            "In which phase is time spent?",
            [Line(signal=share, legend="{{gluellm_request_phase}}") for share in BY_PART],
            stacked=True,
            most=1,
            colors=PHASE_COLORS,
            no_value=_NO_REQUESTS,
            calculations=("mean", "lastNotNull"),
        ),
        lines(
            "How long do requests hold a connection?",
            [
                Line(signal=requests.LEASE_P50, legend="p50", by=_ALL),
                Line(signal=requests.LEASE_P95, legend="p95", by=_ALL),
            ],
            no_value=_NO_REQUESTS,
        ),
    ]


def _answers() -> list[Panel]:
    return [
        lines(
            "Which status do they answer with?",
            [
                Line(
                    signal=requests.REQUESTS_BY_STATUS,
                    legend="{{http_response_status_code}}{{rpc_response_status_code}} "
                    "{{error_type}}",
                    by=_ALL,
                )
            ],
            patterns=by_status(),
        ),
        lines(
            "Which requests fail without a status?",
            [Line(signal=requests.ERRORS, legend="{{error_type}}", by=_ALL)],
        ),
        lines(
            "Which share of requests is sent again?",
            [Line(signal=requests.RESEND_SHARE, legend="sent again", by=_ALL)],
            no_value=_NO_REQUESTS,
        ),
        lines(
            "Which timeouts end requests?",
            [Line(signal=waiting.TIMEOUTS, legend="{{gluellm_timeout_kind}}", by=_ALL)],
            links=[links.to_runbook("GlueLLMPoolTimeouts")],
        ),
    ]


def _reach() -> list[Panel]:
    return [
        lines(
            "Why does connecting fail?",
            [Line(signal=connections.CONNECT_FAILURES_BY_KIND, legend="{{error_type}}", by=_ALL)],
            width=8,
            links=[links.to_runbook("GlueLLMConnectFailures")],
        ),
        lines(
            "How long does connecting take?",
            [
                Line(signal=connections.CREATE_P50, legend="p50", by=_ALL),
                Line(signal=connections.CREATE_P95, legend="p95", by=_ALL),
            ],
            width=8,
            no_value="None was established in this range.",
        ),
        lines(
            "Do reused connections fail?",
            [Line(signal=connections.REUSE_FAILURES, legend="failures", by=_ALL)],
            width=8,
            no_value="No data, or a pool that does not show it (gRPC).",
            links=[links.to_runbook("GlueLLMReuseFailures")],
        ),
    ]


def _origins() -> list[Panel]:
    origin = (_ORIGIN,)
    legend = f"{{{{{_ORIGIN}}}}}"
    return [
        lines(
            "How many requests are under way to each?",
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
            no_value=_NO_REQUESTS,
        ),
        lines(
            "How long until each responds?",
            [Line(signal=requests.RESPONSE_WAIT_P95, legend=legend, by=origin)],
            width=6,
            no_value='Nothing: this is recorded with metrics="full" only.',
        ),
    ]

"""The pool board: why is this pool slow?"""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm import thresholds

from .. import links
from ..panels import Line, Panel, figure, lines, words
from ..signals import connections, pools, requests, sizing, streams, waiting
from ..style import ORANGE, PHASE_COLORS, RED
from . import shared
from .board import Board, Row

_READING = f"""\
Check the event loop first: if it is late for more than {thresholds.LATE_SHARE:.0%} of the time, \
no other figure here can be trusted. Then see which phase grew. **unread**: a leak if its oldest \
age never falls, otherwise a slow consumer. **awaiting_response** or **reading**: the provider. \
**queued**, while these three are unchanged: the pool is too small, and the size by Little's law \
is above the limit. **connecting**: see the connect failures.
"""
_PEERS = {
    "unknown": "blue",
    "unacknowledged": "red",
    "unreachable": "orange",
    "closed": "purple",
    "reset": "#ca95e5",
    "not_reading": "yellow",
}
"""Colours of the states of silent connections: blue without evidence against the provider."""
_NOT_SET = "none or no data"
_NO_HTTP2 = "No HTTP/2 seen."
_NO_GRPC = "No gRPC seen."


def board() -> Board:
    """Return the board."""
    return Board(
        uid=links.POOL,
        opens_with_first=("job", "pool"),
        title="GlueLLM pools: why is this pool slow?",
        question="Why is this pool slow? Choose one service, provider and pool.",
        rows=[
            Row("", [words("How to read this board", _READING, height=3), *_status()]),
            Row("Who holds the connections?", _holders()),
            Row("Is the pool too small?", _size()),
            Row("Are connections reused, and why are they closed?", _connections()),
            Row("What went wrong?", _trouble()),
            Row("HTTP/2 and gRPC", _shared(), collapsed=True),
            Row('With metrics="full" or time_in_queue', _full(), collapsed=True),
        ],
    )


def _status() -> list[Panel]:
    return [
        shared.queued_now(),
        shared.oldest_waiter(),
        figure(
            "Pool timeout",
            waiting.POOL_TIMEOUT,
            [(0, "blue")],
            no_value=_NOT_SET,
        ),
        figure("Limit per pool", connections.LOWEST_LIMIT, [(0, "blue")], no_value=_NOT_SET),
        figure("Size wanted", sizing.SIZE, [(0, "blue")], no_value=shared.NO_REQUEST),
        figure("Pools", pools.LIVE, [(0, "blue")]),
        shared.suspected_leaks(),
        shared.event_loop_late(),
    ]


def _holders() -> list[Panel]:
    return [
        lines(
            "How many requests are in which phase?",
            [Line(signal=requests.CURRENT_BY_PHASE, legend=shared.PHASE, by=shared.ALL)],
            colors=PHASE_COLORS,
            order=tuple(PHASE_COLORS),
            stacked=True,
        ),
        lines(
            "How old is the oldest of each phase?",
            [
                Line(signal=requests.OLDEST_BY_PHASE, legend=shared.PHASE, by=shared.ALL),
                Line(signal=requests.LEASE_OLDEST, legend="held longest", by=shared.ALL),
            ],
            colors=PHASE_COLORS,
            order=tuple(PHASE_COLORS),
            steps=[(thresholds.STUCK_ALERT_AFTER, RED)],
        ),
        lines(
            "In which phase is time spent?",
            [Line(signal=requests.TIME_BY_PHASE, legend=shared.PHASE)],
            colors=PHASE_COLORS,
            order=tuple(PHASE_COLORS),
            stacked=True,
        ),
        lines(
            "How long are waits and leases?",
            [
                Line(signal=waiting.WAIT_P50, legend="wait p50", by=shared.ALL),
                Line(signal=waiting.WAIT_P95, legend="wait p95", by=shared.ALL),
                Line(signal=waiting.WAIT_P99, legend="wait p99", by=shared.ALL),
                Line(signal=requests.LEASE_P50, legend="lease p50", by=shared.ALL),
                Line(signal=requests.LEASE_P95, legend="lease p95", by=shared.ALL),
            ],
            no_value=shared.NO_REQUESTS,
            note="If waits grow while leases are unchanged, the pool is too small.",
        ),
    ]


def _size() -> list[Panel]:
    return [
        lines(
            "How full is it?",
            [
                Line(signal=connections.ACTIVE, legend="active", by=shared.ALL),
                Line(signal=connections.CONNECTING, legend="connecting", by=shared.ALL),
                Line(signal=connections.IDLE, legend="idle", by=shared.ALL),
                Line(signal=connections.PEAK_ACTIVE, legend="peak in use", by=shared.ALL),
                Line(signal=connections.IDLE_MAX, legend="limit of idle", by=shared.ALL),
                # Last, so that it is drawn over the limit of idle ones, which is often the same.
                Line(signal=connections.MAX, legend="limit", by=shared.ALL),
            ],
            colors={"limit": "red", "limit of idle": "purple", "peak in use": "orange"},
            width=12,
            no_value="No connections: this pool does not show them (gRPC), or no data. Run "
            "gluellm-pools verify.",
        ),
        lines(
            "What does Little's law ask for?",
            [
                Line(signal=sizing.SIZE, legend="size wanted", by=shared.ALL),
                Line(signal=sizing.CONCURRENCY, legend="in use without a limit", by=shared.ALL),
                # Differs while a version with another one is deployed.
                Line(signal=connections.LIMIT, legend="highest limit", by=shared.ALL),
                Line(signal=connections.LOWEST_LIMIT, legend="limit per pool", by=shared.ALL),
            ],
            colors={"limit per pool": "red", "highest limit": "purple", "size wanted": "orange"},
            width=12,
            no_value=shared.NO_REQUESTS,
        ),
        lines(
            "How full is the fullest pool?",
            [Line(signal=connections.OCCUPANCY, legend="occupancy", by=shared.ALL)],
            width=8,
            steps=[(thresholds.OCCUPANCY_HIGH, ORANGE), (thresholds.OCCUPANCY_FULL, RED)],
            no_value="No limit, so no occupancy; or no data.",
        ),
        lines(
            "How many waited at the worst moment?",
            [
                Line(signal=waiting.PEAK_QUEUED, legend="peak queued", by=shared.ALL),
                Line(signal=waiting.QUEUED_NOW, legend="queued at export", by=shared.ALL),
            ],
            width=8,
        ),
        lines(
            "How many requests leave, and how many fail?",
            [
                Line(signal=requests.REQUESTS, legend="all", by=shared.ALL),
                Line(signal=requests.ERRORS, legend="{{error_type}}", by=shared.ALL),
            ],
            width=8,
        ),
    ]


def _connections() -> list[Panel]:
    return [
        lines(
            "Which share finds an open connection?",
            [Line(signal=connections.REUSE_SHARE, legend="reused", by=shared.ALL)],
            width=6,
            most=1,
            no_value="No requests seen, or a pool that does not show it (gRPC).",
        ),
        shared.do_reused_connections_fail(width=6),
        lines(
            "Why are connections closed?",
            [
                Line(
                    signal=connections.CLOSED_BY_REASON,
                    legend="{{gluellm_connection_close_reason}}",
                    by=shared.ALL,
                )
            ],
            width=12,
            height=9,
            no_value="No connection was closed in this range, or no data.",
        ),
        shared.how_long_connecting_takes(width=6),
        shared.why_connecting_fails(width=6),
        lines(
            "How many are opened?",
            [Line(signal=connections.OPENED, legend="opened", by=shared.ALL)],
            width=6,
        ),
        lines(
            "Do pools come and go?",
            [
                Line(signal=pools.OPENED, legend="opened", by=shared.ALL),
                Line(
                    signal=pools.DISCARDED, legend="{{gluellm_pool_discard_reason}}", by=shared.ALL
                ),
            ],
            width=6,
            links=links.to_runbook("GlueLLMFindingWarning"),
        ),
        lines(
            "Which step of connecting takes the time?",
            [
                Line(
                    signal=connections.ESTABLISHING_BY_STEP,
                    legend="{{gluellm_connection_step}}",
                    by=shared.ALL,
                )
            ],
            width=12,
            no_value=shared.NOT_GRPC,
            links=links.to_runbook("GlueLLMFindingWarning"),
        ),
        lines(
            "Do silent connections still have their other end?",
            [
                Line(
                    signal=connections.SILENT,
                    legend="{{gluellm_connection_peer_state}}",
                    by=shared.ALL,
                )
            ],
            width=12,
            colors=_PEERS,
            no_value="No connection was silent for long, or not available (gRPC, not Linux, "
            "peer_check_after=0).",
            links=links.to_runbook("GlueLLMCallsSilent"),
        ),
    ]


def _trouble() -> list[Panel]:
    return [
        shared.which_timeouts(width=6),
        lines(
            "Are connections held for too long?",
            [
                Line(signal=pools.LEAKS_SUSPECTED, legend="suspected now", by=shared.ALL),
                Line(signal=pools.LEAKS, legend="newly suspected", by=shared.ALL),
            ],
            width=6,
            links=links.to_runbook("GlueLLMFindingWarning"),
        ),
        lines(
            "Is the pool in an invalid state?",
            [Line(signal=pools.ANOMALIES, legend="{{gluellm_anomaly_type}}", by=shared.ALL)],
            width=6,
            no_value="No anomaly detected, or no data.",
            links=links.to_runbook("GlueLLMFindingWarning"),
        ),
        lines(
            "How many have to queue again?",
            [Line(signal=waiting.REQUEUES, legend="requeued", by=shared.ALL)],
            width=6,
            no_value=shared.NOT_GRPC,
        ),
    ]


def _shared() -> list[Panel]:
    return [
        lines(
            "How many HTTP/2 streams are in use?",
            [
                Line(signal=streams.ACTIVE, legend="active", by=shared.ALL),
                Line(signal=streams.ORPHANED, legend="orphaned", by=shared.ALL),
                Line(signal=streams.MAX, legend="limit", by=shared.ALL),
            ],
            width=8,
            colors={"limit": "red", "orphaned": "orange"},
            no_value=_NO_HTTP2,
            links=links.to_runbook("GlueLLMFindingWarning"),
        ),
        lines(
            "In which state are gRPC's channels?",
            [Line(signal=streams.CHANNELS, legend="{{gluellm_channel_state}}", by=shared.ALL)],
            width=8,
            no_value=_NO_GRPC,
        ),
        lines(
            "Where does the time of gRPC's channels go?",
            [Line(signal=streams.CHANNEL_TIME, legend="{{gluellm_channel_state}}", by=shared.ALL)],
            width=8,
            no_value=_NO_GRPC,
        ),
    ]


def _full() -> list[Panel]:
    return [
        lines(
            "How long until the response begins, and for DNS, TLS and streams?",
            [
                Line(signal=requests.RESPONSE_WAIT_P95, legend="response p95", by=shared.ALL),
                Line(signal=connections.DNS_P95, legend="DNS p95", by=shared.ALL),
                Line(signal=connections.TLS_P95, legend="TLS p95", by=shared.ALL),
                Line(signal=streams.ACQUIRE_P95, legend="stream p95", by=shared.ALL),
                Line(signal=waiting.TIME_IN_QUEUE_P95, legend="time in queue p95", by=shared.ALL),
            ],
            width=8,
            no_value=shared.ONLY_FULL,
        ),
        lines(
            "How long do connections live?",
            [Line(signal=connections.CONNECTION_AGE_P50, legend="p50", by=shared.ALL)],
            width=8,
            no_value=shared.ONLY_FULL,
        ),
        lines(
            "How many requests does a connection serve?",
            [Line(signal=connections.CONNECTION_REQUESTS_P50, legend="p50", by=shared.ALL)],
            width=8,
            no_value=shared.ONLY_FULL,
        ),
    ]

"""The pool board: why is this pool slow?"""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm import thresholds

from .. import links
from ..panels import Line, Panel, figure, lines, words
from ..signals import connections, pools, requests, sizing, streams, waiting
from ..style import GREEN, NEUTRAL, ORANGE, PHASE_COLORS, PLAIN, PROVIDER, RED
from . import shared
from .board import Board, Row

_READING = f"""\
Check the event loop first: if it is late for more than {thresholds.LATE_SHARE:.0%} of the time, \
no other figure here can be trusted. Then see which phase grew. **unread**: a leak if its oldest \
age never falls, otherwise a slow consumer. **awaiting_response** or **reading**: the provider. \
**queued**, while these three are unchanged: the pool is too small, and the size by Little's law \
is above the limit. **connecting**: see the connect failures.
"""
_NOT_SET = "none or no data"
_ONLY_FULL = 'No data: this is recorded with metrics="full" only.'
_NOT_GRPC = "No data, or the pool does not show it (gRPC)."


def board() -> Board:
    """Return the board."""
    return Board(
        uid=links.POOL,
        opens_with_first=("job", "pool"),
        title="GlueLLM pools: why is this pool slow?",
        question="Why is this pool slow? Choose one service, provider and pool.",
        rows=[
            Row("", [words("How to read this board", _READING), *_status()]),
            Row("Who holds the connections?", _holders()),
            Row("Is the pool too small?", _size()),
            Row("Are connections reused, and why are they closed?", _connections()),
            Row("What went wrong?", _trouble()),
            Row("HTTP/2 and gRPC", _shared(), collapsed=True),
            Row('With metrics="full" or time_in_queue', _full(), collapsed=True),
        ],
    )


def _status() -> list[Panel]:
    leaks = links.to_guide("what-is-a-leak-and-what-isnt")
    return [
        *shared.waiters(),
        figure("Pool timeout", waiting.POOL_TIMEOUT, PLAIN, no_value=_NOT_SET),
        figure("Limit per pool", connections.LOWEST_LIMIT, PLAIN, no_value=_NOT_SET),
        figure("Size wanted", sizing.SIZE_NOW, PLAIN, no_value="none released"),
        figure("Pools", pools.LIVE, PLAIN),
        figure("Suspected leaks", pools.LEAKS_SUSPECTED, [(0, GREEN), (1, RED)], links=leaks),
        shared.event_loop_late(),
    ]


def _holders() -> list[Panel]:
    return [
        lines(
            "How many requests are in which phase?",
            Line(requests.CURRENT_BY_PHASE, shared.PHASE),
            width=12,
            colors=PHASE_COLORS,
            order=tuple(PHASE_COLORS),
            stacked=True,
        ),
        lines(
            "How old is the oldest of each phase?",
            Line(requests.OLDEST_BY_PHASE, shared.PHASE),
            Line(requests.LEASE_OLDEST, "held longest"),
            width=12,
            colors=PHASE_COLORS,
            order=tuple(PHASE_COLORS),
            steps=shared.STUCK,
        ),
        lines(
            "In which phase is time spent?",
            Line(requests.TIME_BY_PHASE, shared.PHASE),
            width=12,
            colors=PHASE_COLORS,
            order=tuple(PHASE_COLORS),
            stacked=True,
        ),
        lines(
            "How long are waits and leases?",
            Line(waiting.WAIT_P50, "wait p50"),
            Line(waiting.WAIT_P95, "wait p95"),
            Line(waiting.WAIT_P99, "wait p99"),
            Line(requests.LEASE_P50, "lease p50"),
            Line(requests.LEASE_P95, "lease p95"),
            width=12,
            note="If waits grow while leases are unchanged, the pool is too small.",
        ),
    ]


def _size() -> list[Panel]:
    return [
        lines(
            "How full is it?",
            Line(connections.ACTIVE, "active"),
            Line(connections.CONNECTING, "connecting"),
            Line(connections.IDLE, "idle"),
            Line(connections.PEAK_ACTIVE, "peak in use"),
            Line(connections.IDLE_MAX, "limit of idle"),
            # Last, so that it is drawn over the limit of idle ones, which is often the same.
            Line(connections.MAX, "limit"),
            colors={"limit": RED, "limit of idle": NEUTRAL, "peak in use": ORANGE},
            width=12,
            no_value="No connections: this pool does not show them (gRPC), or no data. Run "
            "gluellm-pools verify.",
        ),
        lines(
            "What does Little's law ask for?",
            Line(sizing.SIZE, "size wanted"),
            Line(sizing.CONCURRENCY, "in use without a limit"),
            # Differs while a version with another one is deployed.
            Line(connections.LIMIT, "highest limit"),
            Line(connections.LOWEST_LIMIT, "limit per pool"),
            colors={"limit per pool": RED, "highest limit": NEUTRAL, "size wanted": ORANGE},
            width=12,
        ),
        lines(
            "How many waited at the worst moment?",
            Line(waiting.PEAK_QUEUED, "peak queued"),
            Line(waiting.QUEUED_NOW, "queued at export"),
            width=12,
        ),
        lines(
            "How many requests leave, and how many fail?",
            Line(requests.REQUESTS, "all"),
            Line(requests.ERRORS, "{{error_type}}"),
            width=12,
        ),
    ]


def _connections() -> list[Panel]:
    return [
        lines(
            "Which share finds an open connection?",
            Line(connections.REUSE_SHARE, "reused"),
            width=6,
            most=1,
            no_value="No requests seen, or a pool that does not show it (gRPC).",
        ),
        lines(
            "How much time does pooling save?",
            Line(connections.SAVED, "saved"),
            width=6,
            no_value=_NOT_GRPC,
        ),
        lines(
            "Do reused connections fail?",
            Line(connections.REUSE_FAILURES, "failures"),
            width=6,
            no_value=_NOT_GRPC,
            links=links.to_guide(),
        ),
        shared.why_connecting_fails(width=6),
        lines(
            "Why are connections closed?",
            Line(connections.CLOSED_BY_REASON, "{{gluellm_connection_close_reason}}"),
            width=12,
            no_value="No connection was closed in this range, or no data.",
        ),
        lines(
            "How long does connecting take?",
            Line(connections.CREATE_P50, "p50"),
            Line(connections.CREATE_P95, "p95"),
            width=6,
            no_value="No connection was established in this range, or no data.",
        ),
        lines(
            "Do pools come and go?",
            Line(pools.OPENED, "opened"),
            Line(pools.DISCARDED, "{{gluellm_pool_discard_reason}}"),
            width=6,
            links=links.to_guide(),
        ),
        lines(
            "Which step of connecting takes the time?",
            Line(connections.ESTABLISHING_BY_STEP, "{{gluellm_connection_step}}"),
            width=12,
            no_value=_NOT_GRPC,
            links=links.to_guide(),
        ),
        lines(
            "Do silent connections still have their other end?",
            Line(connections.SILENT, "{{gluellm_connection_peer_state}}"),
            width=12,
            colors={"unknown": PROVIDER},
            no_value="No connection was silent for long, or not available (gRPC, not Linux, "
            "peer_check_after=0).",
            links=links.to_guide("silent-connections"),
        ),
    ]


def _trouble() -> list[Panel]:
    return [
        shared.which_timeouts(width=6),
        lines(
            "Are connections held for too long?",
            Line(pools.LEAKS_SUSPECTED, "suspected now"),
            Line(pools.LEAKS, "newly suspected"),
            width=6,
            links=links.to_guide("what-is-a-leak-and-what-isnt"),
        ),
        lines(
            "Is the pool in an invalid state?",
            Line(pools.ANOMALIES, "{{gluellm_anomaly_type}}"),
            width=6,
            no_value="No anomaly detected, or no data.",
            links=links.to_guide(),
        ),
        lines(
            "How many have to queue again?",
            Line(waiting.REQUEUES, "requeued"),
            width=6,
            no_value=_NOT_GRPC,
        ),
    ]


def _shared() -> list[Panel]:
    state = "{{gluellm_channel_state}}"
    return [
        lines(
            "How many HTTP/2 streams are in use?",
            Line(streams.ACTIVE, "active"),
            Line(streams.ORPHANED, "orphaned"),
            Line(streams.MAX, "limit"),
            colors={"limit": RED, "orphaned": ORANGE},
            no_value="No HTTP/2 seen.",
            links=links.to_guide(),
        ),
        *(
            lines(title, Line(signal, state), no_value="No gRPC seen.")
            for title, signal in (
                ("In which state are gRPC's channels?", streams.CHANNELS),
                ("Where does the time of gRPC's channels go?", streams.CHANNEL_TIME),
            )
        ),
    ]


def _full() -> list[Panel]:
    ages, served = connections.CONNECTION_AGE_P50, connections.CONNECTION_REQUESTS_P50
    return [
        lines(
            "How long until the response begins, and for DNS, TLS and streams?",
            Line(requests.RESPONSE_WAIT_P95, "response p95"),
            Line(connections.DNS_P95, "DNS p95"),
            Line(connections.TLS_P95, "TLS p95"),
            Line(streams.ACQUIRE_P95, "stream p95"),
            Line(waiting.TIME_IN_QUEUE_P95, "time in queue p95"),
            no_value=_ONLY_FULL,
        ),
        lines("How long do connections live?", Line(ages, "p50"), no_value=_ONLY_FULL),
        lines(
            "How many requests does a connection serve?", Line(served, "p50"), no_value=_ONLY_FULL
        ),
    ]

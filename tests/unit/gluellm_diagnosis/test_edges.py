"""Edges: a finding that explains another one withholds it."""

from collections.abc import Mapping
from typing import Any

import pytest

from gluellm_diagnosis.findings import Kind
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot

from .building import (
    BLOCKED,
    a_connection,
    a_pool,
    a_request,
    a_snapshot,
    all_kinds,
    the_totals,
)
from .test_timeouts import answers, ended

Sign = Mapping[str, Any]
"""What one cause shows in a snapshot: a part of the arguments of ``showing``."""


START = a_snapshot(the_totals(0, connections_opened=0), uptime=1.0)


def showing(
    *signs: Sign,
) -> tuple[Snapshot, Snapshot]:
    """A process with all these signs, in a pool of 10, and a snapshot before its first request."""
    found: dict[str, Any] = {
        "requests": (),
        "connections": (),
        "failures": (),
        "answers": (),
        "each": {},
        "errors": {},
        "origin": {},
        "totals": {},
        "pool": {},
        "process": {},
    }
    for sign in signs:
        for name, more in sign.items():
            old = found[name]
            found[name] = {**old, **more} if isinstance(old, dict) else (*old, *more)
    totals = the_totals(
        100,
        found["each"],
        found["errors"],
        origin=found["origin"],
        failures=found["failures"],
        answers=found["answers"],
        **found["totals"],
    )
    pool = a_pool(found["requests"], found["connections"], **found["pool"])
    return a_snapshot(totals, pool, **found["process"]), START


def held(number: int, connections: int = 10, **caller: str) -> Sign:
    """A full pool of which one caller holds a number of connections, and others queue."""
    caller = caller or {"model": "gpt-4o"}
    requests = [a_request(phase_age=20.0, **caller)] * number + [a_request("queued", 2.0)] * 5
    return {"requests": requests, "connections": [a_connection("active")] * connections}


LATE = {"process": BLOCKED}
LEAK = {"totals": {"leaks": 1}}
ORPHANED = a_connection("active", protocol="2", streams_active=0, streams_max=9, streams_orphaned=4)
STUCK = {"connections": [ORPHANED]}
LOST = {"origin": {"requests_lost_peer": 1}}
CHURN = {"origin": {"pools": 200}, "totals": {"pools_opened": 200}}
FAILURES = {"errors": {"connection_error": 10}}
GONE = {"errors": {"connection_error": 60}}
BROKEN = {"origin": {"reuse_failures": 10}, "errors": {"read_error": 10}}
UNANSWERED = {"origin": {"requests_on_new_connection": 50}, "errors": {"read_error": 30}}
TRUNCATED = {"failures": ended("read_error", [2.0, 3.0, 5.0, 9.0], "reading")}
STOPPED = {
    "failures": ended("read_timeout", [5.0] * 6, "reading", call_site=None),
    "answers": answers(40),
    "errors": {"read_timeout": 6},
    "pool": {"read_timeout": 5.0},
}
CUT = {
    "failures": ended("read_timeout", [5.0] * 6),
    "answers": answers(20, head=4.0),
    "errors": {"read_timeout": 6},
    "pool": {"read_timeout": 5.0},
}
CONSUMER = {"each": {"unread": 2.0}}
HOLDER = held(10, call_site="batch.py:3 in report", model="gpt-4o-report")
FAULT = {**held(7), "totals": {"anomalies": {"orphaned_connection": 3}}}
GIVES_UP = {"errors": {"read_timeout": 10}}
QUEUED = {"each": {"queued": 5.0}, "totals": {"peak_active": 10}}
FULL = held(10)
SET_UPS = {
    "origin": {"set_up_seconds": {"tls": 100.0}},
    "totals": {"connections_opened": 20},
    "each": {"connecting": 1.0},
}
NOT_REUSED = {
    "totals": {"connections_opened": 20, "connections_closed": {"keepalive_expired": 20}},
    "origin": {"requests_on_new_connection": 50},
    "each": {"connecting": 0.2},
}
SENDING = {"requests": [a_request("awaiting_response", 40.0, peer="sending")] * 3}
NO_DESCRIPTORS = {"process": {"open_descriptors": 900}}

CAUSES = {
    Kind.LEAK: (LEAK,),
    Kind.HTTP2_STUCK: (STUCK,),
    Kind.SILENT_CONNECTIONS: (LOST,),
    Kind.TRUNCATED_ANSWERS: (STOPPED,),
    Kind.SLOW_CONSUMER: (CONSUMER,),
    Kind.ONE_CALLER: (HOLDER,),
    Kind.ANOMALY: (FAULT,),
    Kind.SLOW_PROVIDER: (GIVES_UP,),
}

CASES: list[tuple[Any, ...]] = [
    (Kind.HTTP2_STUCK, Kind.REUSE_FAILURES, STUCK, BROKEN),
    (Kind.HTTP2_STUCK, Kind.CLOSED_UNANSWERED, STUCK, UNANSWERED),
    (Kind.CONNECT_FAILURES, Kind.REUSE_FAILURES, GONE, BROKEN),
    (Kind.CONNECT_FAILURES, Kind.CLOSED_UNANSWERED, GONE, UNANSWERED),
    (Kind.SILENT_CONNECTIONS, Kind.CLOSED_UNANSWERED, LOST, UNANSWERED),
    (Kind.SILENT_CONNECTIONS, Kind.TRUNCATED_ANSWERS, LOST, TRUNCATED),
    (Kind.BLOCKED_EVENT_LOOP, Kind.SLOW_UPLOAD, LATE, SENDING),
    (Kind.BLOCKED_EVENT_LOOP, Kind.SLOW_PROVIDER, LATE, GIVES_UP),
    (Kind.BLOCKED_EVENT_LOOP, Kind.SLOW_CONSUMER, LATE, CONSUMER),
    (Kind.BLOCKED_EVENT_LOOP, Kind.ONE_CALLER, LATE, HOLDER),
    (Kind.BLOCKED_EVENT_LOOP, Kind.POOL_TOO_SMALL, LATE, QUEUED),
    (Kind.BLOCKED_EVENT_LOOP, Kind.POOL_SATURATED, LATE, FULL),
    (Kind.BLOCKED_EVENT_LOOP, Kind.SLOW_CONNECTING, LATE, SET_UPS),
    (Kind.BLOCKED_EVENT_LOOP, Kind.READ_TIMEOUT, LATE, CUT),
    (Kind.SLOW_UPLOAD, Kind.SLOW_PROVIDER, SENDING, GIVES_UP),
    (Kind.TRUNCATED_ANSWERS, Kind.READ_TIMEOUT, STOPPED, {"answers": answers(1, 4.0)}),
    (Kind.TRUNCATED_ANSWERS, Kind.SLOW_PROVIDER, STOPPED),
    (Kind.READ_TIMEOUT, Kind.SLOW_PROVIDER, CUT),
    (Kind.CONNECT_FAILURES, Kind.SLOW_CONNECTING, FAILURES, SET_UPS),
    (Kind.CLIENT_CHURN, Kind.SLOW_CONNECTING, CHURN, SET_UPS),
    (Kind.CLIENT_CHURN, Kind.SLOW_PROVIDER, CHURN, GIVES_UP),
    (Kind.SLOW_CONNECTING, Kind.NOT_REUSED, SET_UPS, NOT_REUSED),
    (Kind.LEAK, Kind.SLOW_CONSUMER, LEAK, CONSUMER),
    (Kind.LEAK, Kind.ONE_CALLER, LEAK, HOLDER),
    (Kind.HTTP2_STUCK, Kind.ONE_CALLER, STUCK, HOLDER),
    (Kind.SILENT_CONNECTIONS, Kind.ONE_CALLER, LOST, HOLDER),
    (Kind.SLOW_PROVIDER, Kind.ONE_CALLER, GIVES_UP, HOLDER),
    *((kind, Kind.POOL_TOO_SMALL, *signs, QUEUED) for kind, signs in CAUSES.items()),
    *(
        (kind, Kind.POOL_SATURATED, *signs, *([] if HOLDER in signs else [FULL]))
        for kind, signs in CAUSES.items()
    ),
    (Kind.CONNECT_FAILURES, Kind.POOL_SATURATED, FAILURES, FULL),
    (Kind.READ_TIMEOUT, Kind.POOL_SATURATED, CUT, FULL),
    (Kind.POOL_TOO_SMALL, Kind.POOL_SATURATED, QUEUED, FULL),
    (
        Kind.DESCRIPTORS_NEAR_LIMIT,
        Kind.CAPACITY,
        NO_DESCRIPTORS,
        {"pool": {"max_connections": 5000}},
    ),
]


@pytest.mark.parametrize(
    ("by", "withheld", "signs"),
    [pytest.param(by, of, signs, id=f"{by}-{of}") for by, of, *signs in CASES],
)
def test_finding_withholds_what_it_explains(by, withheld, signs):
    """The second one is found without what shows the first."""
    kinds = all_kinds(*showing(*signs))
    assert by in kinds
    assert withheld not in kinds

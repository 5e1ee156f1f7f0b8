"""Severity: what calls suffer decides, by one function for all kinds."""

from dataclasses import replace
from typing import Any

import pytest

from gluellm_diagnosis.diagnose import diagnose
from gluellm_diagnosis.findings import Kind, Severity
from gluellm_diagnosis.severity import severity

from . import test_edges as edges
from .building import BLOCKED, a_connection, a_pool, a_request, a_snapshot, of_calls, the_totals
from .test_account import HOUR, taken
from .test_connecting import closed
from .test_layers import after, minute
from .test_limiting import limited
from .test_retrying import ended, refused
from .test_threads import threaded
from .test_timeouts import answers
from .test_timeouts import ended as cut

ERROR, WARNING, INFO = Severity
NO_DESCRIPTORS = {"process": {"open_descriptors": 900}}


@pytest.mark.parametrize(
    ("suffers", "expected"),
    [
        ({}, INFO),
        ({"failed": 0.09}, WARNING),
        ({"failed": 0.1}, ERROR),
        ({"failed": 0.49, "attempts": True}, WARNING),
        ({"failed": 0.5, "attempts": True}, ERROR),
        ({"stuck": True}, ERROR),
        ({"waited": 30.0}, INFO),
        ({"waited": 30.0, "slower": True}, WARNING),
        ({"waited": 30.1}, ERROR),
        ({"took": 50.0, "slower": True}, WARNING),
        ({"took": 49.0, "usual": 5.0, "slower": True}, WARNING),
        ({"took": 50.0, "usual": 5.0, "slower": True}, ERROR),
        ({"took": 9.0, "usual": 0.1, "slower": True}, WARNING),
        ({"threatens": True}, WARNING),
    ],
)
def test_severity_is_what_calls_suffer(suffers, expected):
    """At the limits of the design, and just below them."""
    assert severity(**suffers) is expected


def unread(seconds: float, number: int = 9) -> dict[str, Any]:
    return {"requests": [a_request("unread", seconds, call_site="app.py:3 in ask")] * number}


def queued(seconds: float) -> dict[str, Any]:
    return {"requests": [a_request("queued", seconds)] * 5}


FULL = {"connections": [a_connection("active")] * 10, "requests": [a_request()] * 10}
BROKEN = {"origin": {"reuse_failures": 3}, "errors": {"read_error": 3}}
HUNG = {"requests": [a_request("awaiting_response", 180.0)]}
TIMED_OUT = {"errors": {"pool_timeout": 20}}
OF_POOL = [
    (Kind.LEAK, WARNING, [edges.LEAK]),
    (Kind.HTTP2_STUCK, WARNING, [edges.STUCK]),
    (Kind.HTTP2_STUCK, ERROR, [edges.STUCK, {"requests": [a_request("stream_queued", 9.0)]}]),
    (Kind.CLIENT_CHURN, WARNING, [edges.CHURN]),
    (Kind.CONNECT_FAILURES, WARNING, [{"errors": {"connection_error": 5}}]),
    (Kind.CONNECT_FAILURES, ERROR, [edges.FAILURES]),
    (Kind.REUSE_FAILURES, WARNING, [BROKEN]),
    (Kind.REUSE_FAILURES, ERROR, [edges.BROKEN]),
    (Kind.CLOSED_UNANSWERED, ERROR, [edges.UNANSWERED]),
    (Kind.TRUNCATED_ANSWERS, WARNING, [edges.TRUNCATED, {"answers": answers(90)}]),
    (Kind.TRUNCATED_ANSWERS, ERROR, [edges.TRUNCATED]),
    (Kind.SILENT_CONNECTIONS, WARNING, [edges.LOST]),
    (Kind.SLOW_CONNECTING, WARNING, [edges.SET_UPS]),
    (Kind.SLOW_CONSUMER, WARNING, [edges.CONSUMER]),
    (Kind.ONE_CALLER, WARNING, [edges.HOLDER]),
    (Kind.ONE_CALLER, ERROR, [edges.HOLDER, queued(31.0)]),
    (Kind.ONE_CALLER, ERROR, [edges.HOLDER, TIMED_OUT]),
    (Kind.SLOW_UPLOAD, WARNING, [edges.SENDING]),
    (Kind.QUEUE_AT_PROVIDER, WARNING, [edges.served_few(rate=5)]),
    (Kind.QUEUE_AT_PROVIDER, ERROR, [edges.served_few()]),
    (Kind.SLOW_PROVIDER, WARNING, [edges.SLOWER]),
    (Kind.CALLS_SILENT, WARNING, [edges.SILENT]),
    (Kind.CALLS_SILENT, ERROR, [edges.SILENT, HUNG]),
    (Kind.BLOCKED_EVENT_LOOP, INFO, [{"process": {"event_loop_lag": 0.6}}]),
    (Kind.BLOCKED_EVENT_LOOP, WARNING, [{"process": {**BLOCKED, "event_loop_late_share": 0.3}}]),
    (Kind.BLOCKED_EVENT_LOOP, ERROR, [{"process": {**BLOCKED, "event_loop_late_share": 0.6}}]),
    (Kind.READ_TIMEOUT, ERROR, [edges.CUT]),
    (Kind.POOL_TOO_SMALL, WARNING, [edges.QUEUED]),
    (Kind.POOL_TOO_SMALL, ERROR, [edges.QUEUED, TIMED_OUT]),
    (Kind.POOL_TOO_SMALL, ERROR, [edges.QUEUED, queued(31.0)]),
    (Kind.CALLS_CUT_SHORT, INFO, [edges.SIGNS["calls_cut_short"], {"answers": answers(60)}]),
    (Kind.CALLS_CUT_SHORT, ERROR, [edges.SIGNS["calls_cut_short"]]),
    (Kind.DESCRIPTORS_NEAR_LIMIT, WARNING, [NO_DESCRIPTORS]),
    (Kind.ANOMALY, INFO, [{"totals": {"anomalies": {"lost": 1}}}, edges.LATE]),
    (Kind.ANOMALY, WARNING, [{"totals": {"anomalies": {"lost": 1}}}]),
    (Kind.ANOMALY, ERROR, [edges.FAULT]),
    (Kind.POOL_SATURATED, INFO, [FULL, queued(0.5)]),
    (Kind.POOL_SATURATED, WARNING, [FULL, queued(20.0)]),
    (Kind.POOL_SATURATED, ERROR, [FULL, queued(31.0)]),
    (Kind.NOT_REUSED, INFO, [{**edges.NOT_REUSED, "each": {"connecting": 0.1}}]),
    (Kind.UNBOUNDED_POOL, INFO, [{"pool": {"max_connections": None}}]),
    (Kind.UNBOUNDED_POOL, WARNING, [{"pool": {"max_connections": None}}, NO_DESCRIPTORS]),
    (Kind.CAPACITY, INFO, [edges.SIGNS["capacity"]]),
    (Kind.POOL_TIMEOUT, INFO, [FULL, queued(0.5), {"pool": {"pool_timeout": None}}]),
    (Kind.POOL_TIMEOUT, WARNING, [FULL, queued(10.0), {"pool": {"pool_timeout": None}}]),
    (Kind.NO_READ_TIMEOUT, INFO, [{"pool": {"read_timeout": None}}]),
    (Kind.IGNORED_VARIABLE, INFO, [{"process": {"ignored_variables": ("HTTPX_MAX",)}}]),
]


GRPC = the_totals(library="grpc")
CHANNEL: dict[str, Any] = {
    "library": "grpc",
    "channel_state": "transient_failure",
    "channel_state_age": 20.0,
}
STALLED = a_request("reading", 0.5, item_wait=90.0, items_silent=True)
PUNCTUAL = {"failures": cut("cancelled", [0.4] * 9)}
LATER = {"preparing": 9.0}
WHOLE = [
    (Kind.WRONG_EVENT_LOOP, WARNING, a_snapshot(the_totals(anomalies={"wrong_event_loop": 2}))),
    (Kind.WRONG_EVENT_LOOP, ERROR, a_snapshot(the_totals(anomalies={"wrong_event_loop": 20}))),
    (
        Kind.FORKED_CLIENT,
        WARNING,
        a_snapshot((), a_pool((), (a_connection(age=200.0, requests_served=2),))),
    ),
    (Kind.CHANNEL_NOT_READY, WARNING, a_snapshot(GRPC, a_pool(**CHANNEL))),
    (Kind.CHANNEL_NOT_READY, ERROR, a_snapshot(GRPC, a_pool([a_request("queued")], **CHANNEL))),
    (Kind.CLIENT_CLOSED, INFO, closed(1, 99)),
    (Kind.CLIENT_CLOSED, WARNING, closed(1, 1)),
    (Kind.STALLED_STREAMS, INFO, a_snapshot((), a_pool([STALLED]))),
    (Kind.STALLED_STREAMS, WARNING, a_snapshot((), a_pool([STALLED] * 2))),
    (Kind.EXECUTOR_FULL, INFO, threaded(6, 5)),
    (Kind.EXECUTOR_FULL, WARNING, threaded(6, 6)),
    (Kind.RETRIES, WARNING, refused({503: 30})),
    (Kind.TOOL_LOOP, WARNING, after(*[minute(6, 2)] * 35, *[minute(6, 9)] * 5)),
    (Kind.RETRIES, ERROR, refused({429: 30}, outcomes=ended(70, 30), errors={"429": 30})),
    (
        Kind.GLUELLM_LIMITER,
        WARNING,
        a_snapshot(the_totals(library="httpx"), gluellm=True, calls=(limited(),)),
    ),
    (Kind.OUTSIDE_SCOPE, WARNING, replace(a_snapshot(requests_outside_scope=3), totals=())),
    (Kind.CALLS_FAILING, ERROR, taken(*HOUR, *[of_calls(40, errors={"500": 9})] * 5)),
    (Kind.CALLS_CANCELLED, WARNING, taken(*HOUR, *[of_calls(40, cancelled=15)] * 5)),
    (
        Kind.CALLS_CANCELLED,
        ERROR,
        taken(
            *HOUR,
            *[of_calls(40, cancelled=39)] * 5,
            totals={"failures": cut("cancelled", [0.4] * 9)},
        ),
    ),
    (Kind.CALLS_SLOW, WARNING, taken(*HOUR, *[of_calls(20, LATER, took=13.0)] * 5)),
    (Kind.CALLS_SLOW, ERROR, taken(*HOUR, *[of_calls(20, {"preparing": 60.0}, took=64.0)] * 5)),
]


@pytest.mark.parametrize(
    ("kind", "expected", "snapshots"),
    [
        *((kind, expected, edges.showing(*signs)) for kind, expected, signs in OF_POOL),
        *((kind, expected, (snapshot,)) for kind, expected, snapshot in WHOLE),
    ],
)
def test_kind_has_the_severity_of_what_it_does(kind, expected, snapshots):
    """Each kind at each severity that it can have by itself."""
    found = {one.kind: one.severity for one in diagnose(*snapshots)}
    assert found.get(kind) is expected


def test_each_kind_is_judged_here():
    assert {kind for kind, *_ in (*OF_POOL, *WHOLE)} == {*Kind}

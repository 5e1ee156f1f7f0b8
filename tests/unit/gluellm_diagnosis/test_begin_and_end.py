"""Each kind begins in a process with a long past, and ends after its cause, while traffic goes on.

Before the minute of the fault, a pool has counted a million good requests.
"""

from dataclasses import replace
from typing import Any

import pytest

from gluellm_diagnosis.diagnose import diagnose
from gluellm_diagnosis.findings import Kind, Severity
from opentelemetry.instrumentation.gluellm.snapshots.parts import Account, AccountRow, Outcome
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot
from opentelemetry.instrumentation.gluellm.snapshots.windows import summed

from . import test_edges as edges
from .building import a_connection, a_pool, a_snapshot, counted, of_calls, the_totals
from .test_account import CALLS, taken
from .test_severity import CHANNEL, STALLED
from .test_threads import threaded

MINUTE = 60.0
MANY = counted([the_totals(1_000_000)], [])
GOOD = counted([the_totals(100)], [])


def minutes_after(minutes: int, *signs: edges.Sign) -> Snapshot:
    """The process in the minute of the fault (0), or so many minutes after it."""
    bad = edges.showing(*signs)[0]
    rows = [*[GOOD] * 59, bad.account.total, *[GOOD] * minutes][-60:]
    account = Account(
        row=MINUTE,
        total={subject: dict(items) for subject, items in summed([MANY, *rows]).items()},
        rows=tuple(
            AccountRow(since=MINUTE * number, until=MINUTE * (number + 1), numbers=numbers)
            for number, numbers in enumerate(rows)
        ),
    )
    ago = MINUTE * minutes
    (totals,) = bad.totals
    totals = replace(
        totals,
        failures=tuple(one._replace(ago=one.ago + ago) for one in totals.failures),
        answers=tuple(one._replace(ago=one.ago + ago) for one in totals.answers),
        earlier_answers=tuple(one._replace(ago=one.ago + ago) for one in totals.earlier_answers),
    )
    uptime = MINUTE * len(rows)
    if minutes:
        return a_snapshot(replace(totals, peak_active=4), a_pool(), account=account, uptime=uptime)
    return replace(bad, totals=(totals,), account=account, uptime=uptime)


REFUSED = (Outcome(count=40, status=200), Outcome(count=60, status=503))
MORE = {"each": {"awaiting_response": 20.0}, "origin": {"requests_entered": 150}}
FAULTS: list[tuple[Kind, list[edges.Sign]]] = [
    (Kind.LEAK, [edges.LEAK]),
    (Kind.HTTP2_STUCK, [edges.STUCK]),
    (Kind.CLIENT_CHURN, [edges.CHURN]),
    (Kind.CONNECT_FAILURES, [edges.FAILURES]),
    (Kind.REUSE_FAILURES, [edges.BROKEN]),
    (Kind.CLOSED_UNANSWERED, [edges.UNANSWERED]),
    (Kind.TRUNCATED_ANSWERS, [edges.TRUNCATED]),
    (Kind.TRUNCATED_ANSWERS, [edges.STOPPED]),
    (Kind.SILENT_CONNECTIONS, [edges.LOST]),
    (Kind.SLOW_CONNECTING, [edges.SET_UPS]),
    (Kind.SLOW_CONSUMER, [edges.CONSUMER]),
    (Kind.ONE_CALLER, [edges.HOLDER]),
    (Kind.SLOW_UPLOAD, [edges.SENDING]),
    (Kind.CALLS_SILENT, [edges.OVERDUE]),
    (Kind.QUEUE_AT_PROVIDER, [edges.served_few(rate=2), MORE]),
    (Kind.SLOW_PROVIDER, [{"errors": {"read_timeout": 60}}]),
    (Kind.CALLS_SILENT, [edges.hanging(), {"answers": edges.answers(20, ago=95.0)}]),
    (Kind.BLOCKED_EVENT_LOOP, [edges.LATE]),
    (Kind.READ_TIMEOUT, [edges.CUT]),
    (Kind.POOL_TOO_SMALL, [edges.QUEUED]),
    (Kind.CALLS_CUT_SHORT, [edges.SIGNS["calls_cut_short"]]),
    (Kind.DESCRIPTORS_NEAR_LIMIT, [edges.NO_DESCRIPTORS]),
    (Kind.ANOMALY, [edges.FAULT]),
    (Kind.POOL_SATURATED, [edges.FULL]),
    (Kind.NOT_REUSED, [{**edges.NOT_REUSED, "each": {"connecting": 2.0}}]),
    (Kind.WRONG_EVENT_LOOP, [{"totals": {"anomalies": {"wrong_event_loop": 20}}}]),
    (Kind.CLIENT_CLOSED, [{"failures": edges.ended("client_closed", [1.0] * 9)}]),
    (Kind.RETRIES, [{"origin": {"outcomes": REFUSED}}]),
    (Kind.FORKED_CLIENT, [{"connections": [a_connection(age=9999.0, requests_served=2)]}]),
    (Kind.CHANNEL_NOT_READY, [{"totals": {"library": "grpc"}, "pool": CHANNEL}]),
    (Kind.STALLED_STREAMS, [{"requests": [STALLED] * 2}]),
    (Kind.EXECUTOR_FULL, [{"process": {"executors": threaded(6, 6).process.executors}}]),
    (Kind.GLUELLM_LIMITER, [edges.LIMITED]),
]
LOOPS = of_calls(540)
LOOPS[CALLS]["turns",] = 480
OF_CALLS = [
    (Kind.TOOL_LOOP, 2, LOOPS),
    (Kind.CALLS_FAILING, 1, of_calls(60, errors={"500": 60})),
    (Kind.CALLS_CANCELLED, 2, of_calls(60, cancelled=60)),
    (Kind.CALLS_SLOW, 2, of_calls(60, {"preparing": 9.0}, took=13.0)),
]
"""With the minutes after which its evidence passes the kind's threshold."""
OF_SETTINGS = {
    *(Kind.UNBOUNDED_POOL, Kind.CAPACITY, Kind.POOL_TIMEOUT, Kind.NO_READ_TIMEOUT),
    *(Kind.IGNORED_VARIABLE, Kind.OUTSIDE_SCOPE),
}
"""Kinds that say how the process is set up: they neither begin nor end."""


def above_info(snapshot: Snapshot) -> set[Kind]:
    return {one.kind for one in diagnose(snapshot) if one.severity is not Severity.INFO}


@pytest.mark.parametrize(("kind", "signs"), FAULTS)
def test_finding_begins_within_a_minute_and_ends_after_eight(kind: Kind, signs: Any) -> None:
    assert kind in above_info(minutes_after(0, *signs))
    assert kind not in above_info(minutes_after(8, *signs))


@pytest.mark.parametrize(("kind", "minutes", "bad"), OF_CALLS)
def test_finding_on_calls_begins_and_ends(kind: Kind, minutes: int, bad: Any) -> None:
    past = [of_calls(60)] * 59
    assert kind in above_info(taken(*past, *[bad] * minutes))
    assert kind not in above_info(taken(*past, *[bad] * minutes, *[of_calls(60)] * 8))


def test_each_kind_is_tried_here():
    assert {kind for kind, *_ in (*FAULTS, *OF_CALLS)} | OF_SETTINGS == {*Kind}

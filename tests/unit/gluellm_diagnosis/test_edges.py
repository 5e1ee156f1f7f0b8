"""Edges: a finding that explains another one withholds it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from gluellm_diagnosis import diagnose as diagnosis
from gluellm_diagnosis import table
from gluellm_diagnosis.diagnose import diagnose
from gluellm_diagnosis.findings import Kind
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot

from .building import BLOCKED, a_connection, a_pool, a_request, a_snapshot, the_totals
from .test_limiting import limited
from .test_queue_at_provider import SITE, answered, served_few
from .test_timeouts import answers, ended

Sign = Mapping[str, Any]
"""What one cause shows in a snapshot: a part of the arguments of ``showing``."""


def showing(*signs: Sign) -> tuple[Snapshot, Snapshot]:
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
        "before": {},
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
    start = a_snapshot(the_totals(0, connections_opened=0, origin=found["before"]), uptime=1.0)
    pool = a_pool(found["requests"], found["connections"], **found["pool"])
    return a_snapshot(totals, pool, **found["process"]), start


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
REPORT = {"call_site": "batch.py:3 in report", "model": "gpt-4o-report"}
HOLDER = held(10, **REPORT)
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


def hanging(**changes: Any) -> Sign:
    """A full pool of which one caller holds all connections for long, and others queue."""
    requests = [a_request("awaiting_response", 90.0, **changes)] * 10
    others = [a_request("queued", 5.0, model="o3")] * 5
    return {"requests": requests + others, "connections": [a_connection("active")] * 10}


OVERDUE = {**hanging(), "answers": answers(20)}
SILENT = {**hanging(), "errors": {"invalid_response": 100}}
SLOWER = {"answers": answers(20, 9.0), "totals": {"earlier_answers": answers(40, ago=150.0)}}
LIMITED = {
    "process": {"gluellm": True, "calls": (limited(),)},
    "totals": {"library": "httpx"},
    "pool": {"library": "httpx"},
}

SIGNS = {
    "anomaly": FAULT,
    "calls_cut_short": {"failures": ended("cancelled", [8.0] * 9), "answers": answers(10)},
    "capacity": {"pool": {"max_connections": 5000}},
    "client_churn": CHURN,
    "closed_unanswered": UNANSWERED,
    "connect_failures": FAILURES,
    "descriptors_near_limit": NO_DESCRIPTORS,
    "gives_up": GIVES_UP,
    "held_back_answers": STOPPED,
    "held_before": {"connections": [a_connection("active", held_before="unread")] * 10},
    "http2_stuck": STUCK,
    "leak": LEAK,
    "limited": LIMITED,
    "loop_is_late": LATE,
    "not_reused": NOT_REUSED,
    "one_caller": HOLDER,
    "overdue_requests": OVERDUE,
    "pool_saturated": FULL,
    "pool_too_small": QUEUED,
    "queue_at_provider": served_few(),
    "read_timeout": CUT,
    "reuse_failures": BROKEN,
    "server_is_gone": GONE,
    "silent_connections": LOST,
    "silent_provider": SILENT,
    "slow_connecting": SET_UPS,
    "slow_consumer": CONSUMER,
    "slow_provider": GIVES_UP,
    "slow_upload": SENDING,
    "slower": SLOWER,
    "truncated_answers": TRUNCATED,
}
"""What shows the finding of a rule, or a condition."""
TOGETHER: Mapping[tuple[str, str], tuple[Sign, ...]] = {
    ("anomaly", "one_caller"): (held(7, **REPORT), {"totals": FAULT["totals"]}),
    ("held_back_answers", "calls_cut_short"): (
        STOPPED,
        {"failures": ended("cancelled", [8.0] * 30, ago=20.0)},
    ),
    ("held_back_answers", "overdue_requests"): (STOPPED, OVERDUE, LOST),
    ("held_back_answers", "silent_provider"): (SILENT, {**STOPPED, "answers": answers(40, ago=95)}),
    ("held_back_answers", "read_timeout"): (STOPPED, {"answers": answers(1, 4.0)}),
    ("one_caller", "pool_saturated"): (HOLDER,),
    ("overdue_requests", "one_caller"): (OVERDUE,),
    ("overdue_requests", "slow_provider"): (
        {**OVERDUE, "answers": answers(20, 3.0, ago=95.0)},
        {"totals": {"earlier_answers": answers(40, 0.2, ago=150.0)}},
    ),
    ("queue_at_provider", "one_caller"): (
        served_few(),
        {"requests": [a_request("queued", 2.0)] * 5, "connections": [a_connection("active")] * 10},
    ),
    ("queue_at_provider", "overdue_requests"): (
        served_few(requests=[a_request("awaiting_response", 400.0, call_site=SITE, number=40)]),
    ),
    ("queue_at_provider", "read_timeout"): (
        served_few(answers=answered(4.0)),
        {**CUT, "answers": ()},
    ),
    ("read_timeout", "overdue_requests"): (CUT, OVERDUE, LOST),
    ("read_timeout", "silent_provider"): (SILENT, {**CUT, "answers": answers(20, 4.0, ago=95.0)}),
    ("silent_provider", "one_caller"): (SILENT,),
    ("silent_provider", "pool_saturated"): (SILENT,),
    ("slow_upload", "one_caller"): (hanging(peer="sending"),),
    ("slower", "overdue_requests"): (
        LATE,
        SLOWER,
        {"requests": [a_request("awaiting_response", 600.0)] * 5},
    ),
    ("slower", "pool_too_small"): (SLOWER, QUEUED, CHURN),
}
"""What shows both, where the signs of each do not."""
TABLES = {"OF_PROCESS": table.OF_PROCESS, "OF_POOL": table.OF_POOL}
EDGES = [
    pytest.param(name, row, by, id=f"{by}-{row.name}")
    for name, rows in TABLES.items()
    for row in rows
    for by in (*(by for hidden in row.hidden for by in hidden.by), *row.milder)
]


@pytest.mark.parametrize(("name", "row", "by"), EDGES)
def test_finding_is_hidden_or_milder_if_another_explains_it(name, row, by, monkeypatch):
    """And reported as it is without this edge: each edge of the table is needed."""
    signs = TOGETHER.get((by, row.name), (SIGNS[by], SIGNS[row.name]))
    reported = diagnose(*showing(*signs))
    monkeypatch.setattr(diagnosis, name, without(TABLES[name], row, by))
    more = [one for one in diagnose(*showing(*signs)) if one not in reported]
    assert {one.kind for one in more} & {*row.explains}


def without(rows: Sequence[table.Rule], row: table.Rule, by: str) -> list[table.Rule]:
    """The rows of a table without one edge."""
    hidden = tuple(one._replace(by=tuple({*one.by} - {by})) for one in row.hidden)
    milder = tuple({*row.milder} - {by})
    return [row._replace(hidden=hidden, milder=milder) if one is row else one for one in rows]


EXCEPTIONS = [
    pytest.param(row, hidden, id=f"{hidden.by[0]}-{row.name}-{hidden.but}")
    for row in table.OF_POOL
    for hidden in row.hidden
    if hidden.but
]
EXCEPT: Mapping[str, Sign] = {
    "churned_before": {"before": {"pools": 100}},
    "beyond_lag": {"requests": [a_request("queued", 100.0)]},
    "slower": SLOWER,
    "waits_elsewhere": {"origin": {"set_up_seconds": {"resolve": 100.0}}},
    "waits_for_thread": {"origin": {"set_up_seconds": {"thread": 100.0}}},
}


@pytest.mark.parametrize(("row", "hidden"), EXCEPTIONS)
def test_finding_is_reported_if_the_other_does_not_explain_it(row, hidden, monkeypatch):
    """And hidden without this exception."""
    signs = (SIGNS[hidden.by[0]], SIGNS[row.name], EXCEPT[hidden.but])
    signs = TOGETHER.get((hidden.but, row.name), signs)
    reported = diagnose(*showing(*signs))
    its = tuple(one._replace(but="") if one is hidden else one for one in row.hidden)
    rows = [row._replace(hidden=its) if one is row else one for one in table.OF_POOL]
    monkeypatch.setattr(diagnosis, "OF_POOL", rows)
    less = [one for one in reported if one not in diagnose(*showing(*signs))]
    assert {one.kind for one in less} & {*row.explains}


def test_each_kind_has_a_rule_and_a_row_in_the_guide():
    """A kind without a rule is never found, and alerts link to the guide's table of kinds."""
    of_account = {Kind.CALLS_FAILING, Kind.CALLS_CANCELLED, Kind.CALLS_SLOW}
    assert {*Kind} - of_account == {*table.EXPLAINS}
    guide = (Path(__file__).parents[3] / "docs" / "when-calls-hang.md").read_text()
    assert [kind for kind in Kind if f"`{kind}`" not in guide] == []

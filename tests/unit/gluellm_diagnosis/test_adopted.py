"""Connections that requests hold since before the observation."""

import re
from typing import Any

import pytest

from gluellm_diagnosis.diagnose import diagnose
from gluellm_diagnosis.findings import Finding, Kind, Severity

from .building import a_connection, a_pool, a_request, a_snapshot, the_totals


def findings(*phases: str, queued: int = 4, uptime: float = 0.0, **changes: Any) -> list[Finding]:
    """Findings above INFO on a pool of two connections, held in these phases."""
    held = [
        a_connection("active", held_before=phase, **{"age": 0.0, "silence": 60.0, **changes})
        for phase in phases
    ]
    pool = a_pool((), held, max_connections=2, queued_before=queued)
    snapshot = a_snapshot(the_totals(0), pool, uptime=uptime)
    return [one for one in diagnose(snapshot) if one.severity is not Severity.INFO]


@pytest.mark.parametrize(
    ("phases", "changes", "kind", "severity"),
    [
        (("unread", "unread"), {}, Kind.LEAK, Severity.ERROR),
        (("unread", "reading"), {}, Kind.LEAK, Severity.ERROR),
        (("unread", "unread"), {"queued": 0}, Kind.LEAK, Severity.WARNING),
        (("unread", "unread"), {"peer": "reset"}, Kind.SILENT_CONNECTIONS, Severity.ERROR),
        (("awaiting_response",) * 2, {}, Kind.SLOW_PROVIDER, Severity.ERROR),
        (("awaiting_response",) * 2, {"silence": 5.0}, Kind.POOL_SATURATED, Severity.ERROR),
        (("reading", "reading"), {}, Kind.POOL_SATURATED, Severity.ERROR),
        (("", ""), {"silence": None}, Kind.POOL_SATURATED, Severity.ERROR),
    ],
)
def test_what_holds_a_pool_is_judged_by_phase_and_silence(phases, changes, kind, severity):
    """Without a history, and as the only finding of the pool."""
    (finding,) = findings(*phases, **changes)
    assert (finding.kind, finding.severity) == (kind, severity)
    before = "2 of 2 connections are held by requests that began before the observation"
    assert finding.observed.startswith(before)


@pytest.mark.parametrize(
    ("phases", "changes"),
    [
        (("reading", "reading"), {"queued": 0}),
        (("awaiting_response",), {"queued": 0, "silence": 5.0}),
        ((), {}),
    ],
)
def test_requests_that_hold_nothing_up_are_no_finding(phases, changes):
    """They end soon, as far as is known."""
    assert findings(*phases, **changes) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "172.16.0.9", "::1", "[::1]"])
def test_a_server_of_ones_own_has_no_status_page(host):
    """The same holds in a private network. A public address may be a provider's."""
    (finding,) = findings("awaiting_response", origin=f"{host}:8000")
    assert finding.advice.startswith("Look at that server.")
    (finding,) = findings("awaiting_response", origin="172.15.0.9:443")
    assert "status page" in finding.advice


def test_the_way_to_see_more_is_named_until_the_process_was_observed():
    """The numbers are in the text."""
    (finding,) = findings("unread", "unread")
    assert finding.observed.endswith("2 unread, no byte for 60 s; 4 requests queued.")
    assert re.search(r"doctor --attach \d+ --for 60", finding.advice)
    (finding,) = findings("unread", "unread", uptime=60.0)
    assert "--attach" not in finding.advice


def test_holders_that_are_observed_are_judged_as_ever():
    """A few connections from before do not explain a pool that other requests hold."""
    requests = [a_request("reading", 1.0, connection=one) for one in range(9)]
    connections = [a_connection("active") for _ in requests]
    connections.append(a_connection("active", held_before="reading", silence=60.0))
    waiting = [a_request("queued", 12.0) for _ in range(5)]
    pool = a_pool([*requests, *waiting], connections)
    snapshot = a_snapshot(the_totals(100, now={"reading": 9, "queued": 5}), pool)
    (finding,) = [one for one in diagnose(snapshot) if one.kind is Kind.POOL_SATURATED]
    assert "began before" not in finding.observed


def test_a_full_pool_is_reported_once():
    """The finding on the holders says why requests queue that are observed."""
    held = [a_connection("active", held_before="unread", silence=60.0, age=0.0) for _ in range(2)]
    pool = a_pool([a_request("queued", 12.0)], held, max_connections=2)
    snapshot = a_snapshot(the_totals(0, now={"queued": 1}), pool)
    kinds = {one.kind for one in diagnose(snapshot)}
    assert (Kind.LEAK in kinds, Kind.POOL_SATURATED in kinds) == (True, False)

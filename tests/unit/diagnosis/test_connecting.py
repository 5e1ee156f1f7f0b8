"""Connections that are made too often, can't be made, or break."""

from __future__ import annotations

from dataclasses import replace

import pytest

from opentelemetry.instrumentation.gluellm.diagnosis.findings import Kind, Severity
from opentelemetry.instrumentation.gluellm.diagnosis.snapshot import Outcome, Snapshot
from unit.diagnosis.building import (
    BLOCKED,
    a_connection,
    a_pool,
    a_snapshot,
    all_kinds,
    found,
    kinds,
    the_totals,
)

CHURNED = "/srv/app/chat.py:17 in answer"


def churned(pools: int, requests: int, **changes: object) -> Snapshot:
    totals = the_totals(
        requests,
        origin={"pools": pools, "pools_built_at": {CHURNED: pools}},
        pools_opened=pools,
        connections_opened=pools,
        **changes,  # type: ignore[arg-type]
    )
    return a_snapshot(totals, a_pool(requests_entered=1))


def test_client_per_call() -> None:
    """With where they are built, and what to do instead."""
    finding = found(Kind.CLIENT_CHURN, churned(20, 20))
    assert finding.severity is Severity.WARNING
    assert finding.seen == (
        "20 pools opened for 20 requests (1.0 per pool), with 20 new connections, built at "
        "/srv/app/chat.py:17 in answer."
    )
    assert 'Keep one instance, llm = AnyLLM.create("openai")' in finding.cure


def test_churn_of_websockets() -> None:
    """lmstudio opens six for each call, so calls and protocol are said, and another cure."""
    origin = {"pools": 60, "requests_resent": 50, "protocols": ("1.1", "websocket")}
    totals = the_totals(60, origin=origin, pools_opened=60, provider="lmstudio", name="lmstudio")
    finding = found(Kind.CLIENT_CHURN, a_snapshot(totals))
    assert finding.seen.startswith("60 pools opened for 60 requests of 10 calls (1.0 per pool), ")
    assert "over WebSocket" in finding.seen
    assert "builds a client for each call by itself" in finding.cure


@pytest.mark.parametrize(
    ("pools", "requests", "fires"),
    [(9, 9, False), (10, 10, True), (10, 29, True), (10, 30, False)],
)
def test_churn_by_pools_and_requests(pools: int, requests: int, *, fires: bool) -> None:
    """Ten pools, and less than three requests each."""
    assert (kinds(churned(pools, requests)) == [Kind.CLIENT_CHURN]) is fires


def test_busy_client_that_is_kept_hides_no_churn() -> None:
    """Neither what it served before counts, nor what it served since."""
    kept = a_pool(requests_entered=400)
    before = a_snapshot(the_totals(400), kept, uptime=50.0)
    totals = the_totals(1020, origin={"pools": 21}, pools_opened=21)
    after = a_snapshot(totals, replace(kept, requests_entered=1000), a_pool(requests_entered=1))
    assert kinds(after, before) == [Kind.CLIENT_CHURN]
    assert "20 pools opened for 20 requests" in found(Kind.CLIENT_CHURN, after, before).seen
    assert kinds(after) == [Kind.CLIENT_CHURN]


def test_churn_names_the_line_that_built_its_pools() -> None:
    """Not that of a client that is kept, whichever was built last."""
    kept = a_pool(requests_entered=400, built_at="/srv/app/main.py:3 in <module>")
    sites = {"/srv/app/main.py:3 in <module>": 1, CHURNED: 15}
    totals = the_totals(420, origin={"pools": 21, "pools_built_at": sites}, pools_opened=21)
    finding = found(Kind.CLIENT_CHURN, a_snapshot(totals, kept))
    assert finding.seen.startswith("20 pools opened for 20 requests")
    assert finding.seen.endswith(f", 15 of them built at {CHURNED}.")


@pytest.mark.parametrize(("sites", "gluellms"), [({}, True), ({CHURNED: 20}, False)])
def test_churn_of_gluellms_clients_is_told_from_any_llms(
    sites: dict[str, int], *, gluellms: bool
) -> None:
    """GlueLLM builds its clients before it calls any-llm, so no call site is known."""
    origin = {"pools": 20, "pools_built_at": sites}
    names = {"name": "anthropic", "provider": "anthropic", "library": "httpx"}
    totals = the_totals(20, origin=origin, pools_opened=20, **names)
    pool = a_pool(requests_entered=1, **names)
    finding = found(Kind.CLIENT_CHURN, a_snapshot(totals, pool, gluellm=True))
    assert ("gluellm.close_providers()" in finding.cure) is gluellms
    assert ("AnyLLM" in finding.cure) is not gluellms


def test_many_clients_that_are_kept_are_no_churn() -> None:
    """Not even beside some that were used once."""
    kept = [a_pool(requests_entered=10) for _ in range(30)]
    totals = the_totals(305, origin={"pools": 35}, pools_opened=35)
    assert not kinds(a_snapshot(totals, *kept, a_pool(requests_entered=1)))


def test_kept_client_of_several_hosts_counts_for_none() -> None:
    """Which of its requests were for which is not known."""
    hosts = [a_connection(), a_connection(origin="other.test:443")]
    totals = the_totals(1020, origin={"pools": 21}, pools_opened=21)
    assert not kinds(a_snapshot(totals, a_pool(connections=hosts, requests_entered=1000)))


def test_pool_for_each_host_is_no_churn() -> None:
    """It is one pool for an origin."""
    totals = the_totals(20, origin={"pools": 1}, pools_opened=20)
    assert not kinds(a_snapshot(totals))


def test_churn_until_previous_is_old_news() -> None:
    """The clients are kept since."""
    before = churned(20, 20)
    after = the_totals(40, origin={"pools": 21}, pools_opened=21)
    assert not kinds(a_snapshot(after, uptime=200.0), before)


def test_churn_slows_the_loop_and_not_the_provider() -> None:
    """Building clients keeps the loop from reading; unless it did so before, too."""
    calm = a_snapshot(the_totals(20), uptime=50.0)
    totals = the_totals(60, {"awaiting_response": 3.0}, origin={"pools": 40}, pools_opened=40)
    assert kinds(a_snapshot(totals), calm) == [Kind.CLIENT_CHURN]
    always = a_snapshot(the_totals(20, origin={"pools": 20}, pools_opened=20), uptime=50.0)
    assert kinds(a_snapshot(totals), always) == [Kind.CLIENT_CHURN, Kind.SLOW_PROVIDER]


def test_churn_comes_before_the_lag_that_it_makes() -> None:
    """The cause first."""
    totals = the_totals(20, origin={"pools": 20}, pools_opened=20)
    snapshot = a_snapshot(totals, **BLOCKED)
    assert kinds(snapshot) == [Kind.CLIENT_CHURN, Kind.BLOCKED_EVENT_LOOP]


@pytest.mark.parametrize(
    ("requests", "failed", "fires"),
    [(100, 2, False), (100, 3, True), (400, 3, False), (1, 1, True), (3, 1, False), (2, 1, True)],
)
def test_connect_failures_by_number_and_share(requests: int, failed: int, *, fires: bool) -> None:
    """Rare ones are the network's daily life; a program's only call is not rare."""
    snapshot = a_snapshot(the_totals(requests, errors={"connection_error": failed}))
    assert (kinds(snapshot) == [Kind.CONNECT_FAILURES]) is fires


@pytest.mark.parametrize("error", ["too_many_open_files", "no_local_ports"])
def test_what_is_never_the_network_counts_at_once(error: str) -> None:
    """One is enough."""
    assert kinds(a_snapshot(the_totals(1000, errors={error: 1}))) == [Kind.CONNECT_FAILURES]


def test_connect_failures_are_one_finding() -> None:
    """By kind, the most frequent first, each with its meaning and its cure."""
    errors = {"connect_timeout": 5, "name_resolution_error": 20, "read_error": 1}
    finding = found(Kind.CONNECT_FAILURES, a_snapshot(the_totals(100, errors=errors)))
    assert finding.severity is Severity.ERROR
    assert finding.seen == (
        "25 of 100 requests (25%) got no connection: name_resolution_error 20, connect_timeout 5."
    )
    assert finding.means.index("does not resolve") < finding.means.index("no answer in time")
    assert "resolver" in finding.cure


def test_blocked_loop_lets_connect_timeouts_run_out() -> None:
    """They say nothing about the network then; a refusal does."""
    totals = the_totals(20, errors={"connect_timeout": 5})
    assert kinds(a_snapshot(totals, **BLOCKED)) == [Kind.BLOCKED_EVENT_LOOP]
    totals = the_totals(20, errors={"connection_error": 5})
    assert kinds(a_snapshot(totals, **BLOCKED)) == [
        Kind.CONNECT_FAILURES,
        Kind.BLOCKED_EVENT_LOOP,
    ]


def broken(failures: int, silence: float = 0.0, **pool: object) -> Snapshot:
    totals = the_totals(100, origin={"reuse_failures": failures, "longest_silence_failed": silence})
    return a_snapshot(totals, a_pool(**pool))  # type: ignore[arg-type]


@pytest.mark.parametrize(("failures", "fires"), [(0, False), (1, False), (2, True)])
def test_reuse_failures(failures: int, *, fires: bool) -> None:
    """One may be the server's closing in the instant of the request."""
    assert (kinds(broken(failures)) == [Kind.REUSE_FAILURES]) is fires


def test_rare_reuse_failures_are_none() -> None:
    """Under 0.5%."""
    totals = the_totals(500, origin={"reuse_failures": 2})
    assert not kinds(a_snapshot(totals))


def test_server_that_is_gone_has_dropped_its_connections() -> None:
    """One cause, one finding."""
    errors = {"connection_error": 50, "read_error": 5}
    totals = the_totals(100, errors=errors, origin={"reuse_failures": 5})
    assert kinds(a_snapshot(totals)) == [Kind.CONNECT_FAILURES]
    errors = {"connection_error": 49, "read_error": 5}
    totals = the_totals(100, errors=errors, origin={"reuse_failures": 5})
    assert kinds(a_snapshot(totals)) == [Kind.CONNECT_FAILURES, Kind.REUSE_FAILURES]


def test_idle_connections_that_are_dropped() -> None:
    """The cure is to drop them first."""
    finding = found(Kind.REUSE_FAILURES, broken(5))
    assert "keepalive_expiry=3" in finding.cure
    assert "(now 5 s)" in finding.cure
    assert "SO_KEEPALIVE" not in str(finding)


@pytest.mark.parametrize(("silence", "named"), [(120.0, False), (121.0, True)])
def test_silence_without_keepalive_is_named(silence: float, *, named: bool) -> None:
    """A thinking model looks idle to a load balancer."""
    finding = found(Kind.REUSE_FAILURES, broken(5, silence, tcp_keepalive=False))
    assert "SO_KEEPALIVE is off" in finding.seen
    assert ("of silence" in finding.seen) is named
    assert "socket.TCP_KEEPIDLE" in finding.cure
    assert "max_connections=10" in finding.cure


def expired(opened: int, closed: int, connecting: float = 0.1) -> Snapshot:
    totals = the_totals(
        100,
        {"connecting": connecting},
        origin={"requests_on_new_connection": opened},
        connections_opened=opened,
        connections_closed={"keepalive_expired": closed},
    )
    return a_snapshot(totals)


@pytest.mark.parametrize(
    ("opened", "closed", "fires"), [(9, 9, False), (20, 9, False), (20, 10, True)]
)
def test_connections_that_expire(opened: int, closed: int, *, fires: bool) -> None:
    """Most new ones replace one that expired."""
    assert (all_kinds(expired(opened, closed)) == [Kind.KEEPALIVE_TOO_SHORT]) is fires


@pytest.mark.parametrize(("connecting", "fires"), [(0.04, False), (0.042, True)])
def test_expiry_that_costs_little_is_none(connecting: float, *, fires: bool) -> None:
    """Under a twentieth of the time."""
    assert (all_kinds(expired(38, 38, connecting)) == [Kind.KEEPALIVE_TOO_SHORT]) is fires


def test_expiry_is_told_by_requests() -> None:
    """How many waited for a connection, of how many, and what that took of their time."""
    assert found(Kind.KEEPALIVE_TOO_SHORT, expired(38, 36)).seen == (
        "38 of 100 requests (38%) waited for a new connection, which took 11% of the time of all "
        "requests; 36 connections had expired after 5 s idle."
    )


def test_connections_that_could_not_be_made_did_not_expire() -> None:
    """Their time is not the price of an expired connection."""
    totals = the_totals(
        100,
        {"connecting": 0.1},
        connections_opened=20,
        connections_closed={"keepalive_expired": 20},
    )
    (origin,) = totals.origins
    failed = Outcome(count=1, error="connect_timeout", sent=1, seconds=9.0, held_seconds=9.0)
    origin = replace(origin, outcomes=(*origin.outcomes, failed))
    snapshot = a_snapshot(replace(totals, origins=(origin,)))
    assert Kind.KEEPALIVE_TOO_SHORT not in all_kinds(snapshot)


def test_expiry_hurts_where_connecting_takes_long() -> None:
    """From a quarter of the time on."""
    assert not kinds(expired(20, 20, 0.2))
    assert kinds(expired(20, 20, 0.3)) == [Kind.KEEPALIVE_TOO_SHORT]
    assert "keepalive_expiry=60" in found(Kind.KEEPALIVE_TOO_SHORT, expired(20, 20)).cure

"""Findings on connections that are made too often, cannot be made, or break."""

from dataclasses import replace
from typing import Any

import pytest

from gluellm_diagnosis.diagnose import diagnose
from gluellm_diagnosis.findings import Fact, Kind, Severity
from opentelemetry.instrumentation.gluellm.snapshots.parts import Answer, Failure, Outcome
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot

from .building import (
    BLOCKED,
    ORIGIN,
    a_connection,
    a_pool,
    a_request,
    a_snapshot,
    all_kinds,
    an_account,
    found,
    kinds,
    of_calls,
    the_calls,
    the_totals,
)

CHURN, FAILURES, REUSE = Kind.CLIENT_CHURN, Kind.CONNECT_FAILURES, Kind.REUSE_FAILURES
EXPIRY, LOOP, SLOW = Kind.NOT_REUSED, Kind.BLOCKED_EVENT_LOOP, Kind.SLOW_PROVIDER
CONNECTING = Kind.SLOW_CONNECTING
CHURNED = "/srv/app/chat.py:17 in answer"


def opened(pools: int, requests: int, *alive: Any, of_origin: Any = None, **more: Any) -> Snapshot:
    """A snapshot of opened pools and their requests; ``alive`` are the live pools."""
    origin = {"pools": pools} if of_origin is None else of_origin
    process = {name: more.pop(name) for name in ("uptime", *BLOCKED) if name in more}
    totals = the_totals(requests, origin=origin, pools_opened=pools, **more)
    return a_snapshot(totals, *alive, **process)


def churned(pools: int, requests: int) -> Snapshot:
    origin = {"pools": pools, "pools_built_at": {CHURNED: pools}}
    used_once = a_pool(requests_entered=1)
    return opened(pools, requests, used_once, of_origin=origin, connections_opened=pools)


def test_client_per_call_is_reported_with_its_call_site_and_advice():
    finding = found(CHURN, churned(20, 20))
    assert finding.severity is Severity.WARNING
    assert finding.observed == (
        "20 pools opened for 20 requests (1.0 per pool), with 20 new connections, built at "
        "/srv/app/chat.py:17 in answer."
    )
    assert 'Keep one instance, llm = AnyLLM.create("openai")' in finding.advice


def test_churn_of_websockets_has_its_own_advice():
    """lmstudio opens six for each call, so calls and protocol are named."""
    origin = {"pools": 60, "requests_resent": 50, "protocols": ("1.1", "websocket")}
    names = {"provider": "lmstudio", "name": "lmstudio"}
    used_once = a_pool(requests_entered=1, **names)
    finding = found(CHURN, opened(60, 60, used_once, of_origin=origin, **names))
    assert finding.observed.startswith(
        "60 pools opened for 60 requests of 10 calls (1.0 per pool), "
    )
    assert "over WebSocket" in finding.observed
    assert "builds a client for each call by itself" in finding.advice


KEPT = a_pool(requests_entered=400)
BUSY = (replace(KEPT, requests_entered=1000), a_pool(requests_entered=1, age=9.0))
SLOWER = opened(40, 60, each={"awaiting_response": 3.0})


@pytest.mark.parametrize(
    ("snapshot", "before", "expected"),
    [
        (churned(9, 9), None, []),
        (churned(10, 10), None, [CHURN]),
        (churned(10, 29), None, [CHURN]),
        (churned(10, 30), None, []),
        # A busy client that is kept hides no churn, whenever it served its requests.
        (opened(21, 1020, *BUSY), a_snapshot(the_totals(400), KEPT, uptime=50.0), [CHURN]),
        (opened(21, 1020, *BUSY), None, [CHURN]),
        # Many clients that are kept, also beside some that were used once.
        (
            opened(35, 305, *[a_pool(requests_entered=10)] * 30, a_pool(requests_entered=1)),
            None,
            [],
        ),
        # A kept client with several hosts.
        (
            opened(
                21,
                1020,
                a_pool((), [a_connection(), a_connection(origin="x:443")], requests_entered=1000),
            ),
            None,
            [CHURN],
        ),
        (opened(20, 20, of_origin={"pools": 1}), None, []),  # a pool for each host
        # Beyond max_origins, one name has all hosts.
        (opened(20, 20, of_origin={"pools": 20, "origin": "_OTHER"}), None, []),
        (opened(21, 40, uptime=200.0), churned(20, 20), []),  # the churn is older
        # Building clients delays the reading of answers, unless it went on before.
        (SLOWER, a_snapshot(the_totals(20), uptime=50.0), [CHURN]),
        (SLOWER, opened(20, 20, uptime=50.0), [CHURN, SLOW]),
        (opened(20, 20, **BLOCKED), None, [CHURN, LOOP]),  # the cause first
    ],
)
def test_when_pools_are_churn(snapshot, before, expected):
    """The limits are ten pools, and less than three requests each."""
    assert kinds(snapshot, before) == expected


def test_churn_finding_names_the_line_that_built_the_pools():
    """The finding ignores a client that is kept, whichever was built last."""
    kept = replace(KEPT, built_at="/srv/app/main.py:3 in <module>")
    origin = {"pools": 21, "pools_built_at": {"/srv/app/main.py:3 in <module>": 1, CHURNED: 15}}
    finding = found(CHURN, opened(21, 420, kept, of_origin=origin))
    assert finding.observed.startswith("20 pools opened for 20 requests")
    assert finding.observed.endswith(f", 15 of them built at {CHURNED}.")
    before = a_snapshot(the_totals(400), KEPT, uptime=50.0)
    assert "20 pools opened for 20" in found(CHURN, opened(21, 1020, *BUSY), before).observed


@pytest.mark.parametrize(("sites", "gluellms"), [({}, True), ({CHURNED: 20}, False)])
def test_churn_of_gluellms_clients_is_distinguished_from_any_llms(sites, gluellms):
    """GlueLLM builds its clients before it calls any-llm, so no call site is known."""
    origin = {"pools": 20, "pools_built_at": sites}
    names = {"name": "anthropic", "provider": "anthropic", "library": "httpx"}
    totals = the_totals(20, origin=origin, pools_opened=20, **names)
    pool = a_pool(requests_entered=1, **names)
    finding = found(CHURN, a_snapshot(totals, pool, gluellm=True))
    assert ("gluellm.close_providers()" in finding.advice) is gluellms
    assert ("AnyLLM" in finding.advice) is not gluellms


def failing(requests: int, origin: Any = None, **errors: int) -> Snapshot:
    return a_snapshot(the_totals(requests, errors=errors, origin=origin))


def with_loop_blocked(**errors: int) -> Snapshot:
    return a_snapshot(the_totals(20, errors=errors), **BLOCKED)


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        # By number and share: a program's only call is not rare.
        *((failing(100, connection_error=n), [FAILURES] * fires) for n, fires in ((2, 0), (3, 1))),
        (failing(300, connection_error=3), [FAILURES]),
        (failing(301, connection_error=3), []),
        (failing(400, connection_error=3), []),
        (failing(1, connection_error=1), [FAILURES]),
        (failing(2, connection_error=1), [FAILURES]),
        (failing(3, connection_error=1), []),
        (failing(1000, too_many_open_files=1), [FAILURES]),  # never the network
        (failing(1000, no_local_ports=1), [FAILURES]),
        # A blocked loop lets timeouts run out; a refusal is about the network.
        (with_loop_blocked(connect_timeout=5), [LOOP]),
        (with_loop_blocked(connection_error=5), [FAILURES, LOOP]),
        # One reuse failure may be a race with the server's close.
        *((failing(100, {"reuse_failures": n}), [REUSE] * (n > 1)) for n in (0, 1, 2)),
        (failing(400, {"reuse_failures": 2}), [REUSE]),
        (failing(401, {"reuse_failures": 2}), []),
        # A server that is gone has dropped its connections: one cause, one finding.
        (failing(100, {"reuse_failures": 5}, connection_error=50, read_error=5), [FAILURES]),
        (failing(100, {"reuse_failures": 5}, connection_error=49, read_error=5), [FAILURES, REUSE]),
    ],
)
def test_when_failures_to_connect_and_on_reused_connections_are_found(snapshot, expected):
    assert kinds(snapshot) == expected


@pytest.mark.parametrize(("failed", "severity"), [(9, Severity.WARNING), (10, Severity.ERROR)])
def test_many_failures_are_an_error(failed, severity):
    """The limit is one in ten."""
    assert found(FAILURES, failing(100, connection_error=failed)).severity is severity
    assert found(REUSE, failing(100, {"reuse_failures": failed})).severity is severity


def test_connect_failures_are_one_finding():
    """Kinds are listed by frequency, each with its explanation and advice."""
    finding = found(
        FAILURES, failing(100, connect_timeout=5, name_resolution_error=20, read_error=1)
    )
    assert finding.severity is Severity.ERROR
    assert finding.observed.endswith(
        "25 of 100 requests (25%) got no connection: name_resolution_error 20, connect_timeout 5. "
        "Of 25 requests to api.test:443 that needed a new connection, 25 failed."
    )
    assert finding.explanation.index("does not resolve") < finding.explanation.index(
        "no answer in time"
    )
    assert "resolver" in finding.advice


def tls_failures(code: int = 0) -> tuple[Failure, ...]:
    failure = Failure(0.0, "secure_connection_error", 1.0, "connecting", 1.0, verify_code=code)
    return tuple(failure._replace(ago=ago) for ago in (9.0, 20.0, 59.0))


@pytest.mark.parametrize(
    ("code", "age", "means", "one_of_several"),
    [
        (20, 30.0, "the server's certificate does not verify, since its issuer is unknown", True),
        (10, 30.0, "verify, since it has expired", True),
        (85, 30.0, "since OpenSSL's verify code is 85", True),
        (0, 30.0, "secure_connection_error: TLS fails. Other", True),
        (0, 61.0, "does not verify or the port has no TLS", False),  # before the failures
        (20, 9.0, "its issuer is unknown", False),  # after the failures
    ],
)
def test_tls_failures_name_the_certificate_and_the_server(code, age, means, one_of_several):
    """Connections that were established while others failed reached another server."""
    failed = {"secure_connection_error": 20}
    origin = {"requests_on_new_connection": 50}
    totals = the_totals(100, errors=failed, failures=tls_failures(code), origin=origin)
    pool = a_pool(connections=[a_connection(age=age), a_connection("connecting", age=30.0)])
    finding = found(FAILURES, a_snapshot(totals, pool))
    assert means in finding.explanation
    assert ("one of several servers behind the address" in finding.explanation) is one_of_several
    assert ("-showcerts" in finding.advice) is (code > 0)


def test_tls_failures_are_compared_with_connections_to_their_own_origin():
    """Another origin fails more often, and by connect timeouts."""
    failed = {"origin": {"origin": "b.test:443"}, "errors": {"secure_connection_error": 10}}
    totals = the_totals(100, errors={"connect_timeout": 20}, failures=tls_failures())
    totals = replace(totals, origins=totals.origins + the_totals(10, **failed).origins)
    finding = found(FAILURES, a_snapshot(totals, a_pool(connections=[a_connection(age=30.0)])))
    assert "one of several servers" not in finding.explanation


@pytest.mark.parametrize(("kept", "advised"), [(0, "(now 0)"), (3, "(now 3)"), (10, "for longer")])
def test_advice_on_local_ports_is_about_the_setting_that_matters(kept, advised):
    totals = the_totals(100, errors={"no_local_ports": 20}, peak_active=8)
    assert advised in found(FAILURES, a_snapshot(totals, a_pool(max_idle_connections=kept))).advice


@pytest.mark.parametrize(("any_llm", "name"), [(True, "api_base"), (False, "the URL")])
def test_connect_failures_name_the_clients_own_setting(name, any_llm):
    totals = the_totals(100, errors={"name_resolution_error": 20})
    assert f"check {name} for" in found(FAILURES, a_snapshot(totals, any_llm=any_llm)).advice


@pytest.mark.parametrize(
    ("silence", "keepalive"), [(0.0, None), (120.0, False), (121.0, False)], ids=str
)
def test_dropped_idle_connections_are_a_finding(silence, keepalive):
    """The advice is to expire them earlier or to probe them."""
    totals = the_totals(100, origin={"reuse_failures": 5, "longest_silence_failed": silence})
    expiry = 5.0 if keepalive is None else 61.0
    pool = a_pool(tcp_keepalive=keepalive, keepalive_expiry=expiry)
    finding = found(REUSE, a_snapshot(totals, pool))
    if keepalive is None:
        assert "keepalive_expiry=3" in finding.advice
        assert "(this client: 5 s)" in finding.advice
        assert "SO_KEEPALIVE" not in str(finding)
    else:
        assert "SO_KEEPALIVE is off" in finding.observed
        assert ("of silence" in finding.observed) is (silence > 120)
        assert "socket.TCP_KEEPIDLE" in finding.advice
        assert "max_connections=10" in finding.advice


@pytest.mark.parametrize(
    ("failed", "silence", "expiry", "short"),
    [
        (65, 0.0, None, True),
        (63, 0.0, None, False),
        (65, 121.0, None, False),
        (4, 0.0, 4.0, True),
        # As long as usual idle timeouts: then few requests fail.
        (10, 0.0, 5.0, True),
        (9, 0.0, 5.0, False),
        (10, 0.0, 6.0, False),
        (4, 0.0, None, False),
    ],
)
def test_failures_after_a_moment_of_idleness_are_not_blamed_on_idle_timeouts(
    failed, silence, expiry, short
):
    """Four connections cannot be idle for long if so many requests fail on them in 75 s."""
    origin = {"reuse_failures": failed, "longest_silence_failed": silence}
    failures = (Failure(9.0, "read_error", 0.1, "awaiting_response", 0.1),) * failed
    pool = a_pool(keepalive_expiry=expiry, tcp_keepalive=False)
    totals = the_totals(100, origin=origin, failures=failures)
    finding = found(REUSE, a_snapshot(totals, pool))
    assert finding.explanation.startswith("The connections that broke had been idle for ") is short
    assert finding.advice.startswith("Find out whether the process forks") is short
    assert ("after the fork" in finding.advice) is not (silence > 0)
    assert ("a forked process uses the same client" in finding.explanation) is not (silence > 0)
    assert ("load balancer" in str(finding)) is not short
    assert not (short and "SO_KEEPALIVE" in str(finding))
    assert ("keepalive_expiry=1)" in finding.advice) is short


@pytest.mark.parametrize(
    ("lost_at", "refused", "restarts", "others"),
    [(62.0, 12, True, []), (40.0, 12, False, [REUSE]), (62.0, 95, False, [])],
)
def test_server_that_restarts_has_one_finding(lost_at, refused, restarts, others):
    """It loses and refuses connections at the same moments, and works in between."""
    failures = (
        *(Failure(60.0, "connection_error", 0.1, "connecting", 0.1),) * 12,
        *(Failure(lost_at, "read_error", 0.1, "awaiting_response", 0.1),) * 5,
    )
    errors = {"connection_error": refused, "read_error": 5}
    origin = {"reuse_failures": 5}
    totals = the_totals(100, errors=errors, origin=origin, failures=failures)
    snapshot = a_snapshot(totals, a_pool(keepalive_expiry=30))
    assert ("gateway on the path, restarts" in str(found(FAILURES, snapshot))) is restarts
    assert kinds(snapshot) == [FAILURES, *others]


def test_http2_connection_that_was_idle_loses_many_requests():
    failures = (Failure(9.0, "read_error", 0.1, "awaiting_response", 0.1),) * 90
    origin = {"reuse_failures": 90, "protocols": ("2",)}
    totals = the_totals(100, origin=origin, failures=failures)
    assert "load balancer" in found(REUSE, a_snapshot(totals, a_pool(keepalive_expiry=60))).advice


CLOSED = Failure(9.0, "client_closed", 0.4, "awaiting_response", 0.1, None, "app.py:7 in check")


def closed(failed: int, answered: int, ago: float = 9.0) -> Snapshot:
    """A client was closed while ``failed`` requests were in flight."""
    failures = (CLOSED._replace(ago=ago),) * failed
    answers = (Answer(5.0, None, 0.4, 0.5, 0, answered),)
    totals = the_totals(failed + answered, failures=failures, closed_at="cache.py:19 in evict")
    return a_snapshot(replace(totals, answers=answers))


def test_client_that_is_closed_while_requests_are_in_flight():
    snapshot = closed(3, 97)
    assert kinds(snapshot) == [Kind.CLIENT_CLOSED]
    finding = found(Kind.CLIENT_CLOSED, snapshot)
    assert finding.observed == (
        "3 of the last 100 requests failed since their own client was closed by "
        "cache.py:19 in evict while they were in flight."
    )
    assert finding.evidence[0].call_site == "app.py:7 in check"
    assert not kinds(closed(3, 97, ago=301.0))


@pytest.mark.parametrize(
    ("snapshot", "severity"),
    [
        (closed(1, 99), Severity.INFO),  # a deploy that ends one stream
        (closed(2, 98), Severity.INFO),
        (closed(3, 997), Severity.INFO),
        (closed(3, 97), Severity.WARNING),
        (closed(1, 1), Severity.WARNING),
    ],
)
def test_few_requests_of_a_closed_client_are_info(snapshot, severity):
    assert found(Kind.CLIENT_CLOSED, snapshot).severity is severity


def cut_off(number: int, result: str = "protocol_error", phase: str = "reading") -> Snapshot:
    """Of 50 requests, ``number`` failed in this phase."""
    one = Failure(9.0, result, 1.5, phase, 0.7, "gpt-4o", "app.py:7 in ask")
    answers = (Answer(5.0, "gpt-4o", 0.4, 0.5, 9),) * (50 - number)
    return a_snapshot(the_totals(50, failures=(one,) * number, answers=answers))


@pytest.mark.parametrize(
    ("snapshot", "severity"),
    [
        (cut_off(30), Severity.ERROR),
        (cut_off(30, "read_error"), Severity.ERROR),
        (cut_off(3), Severity.WARNING),
        (cut_off(2), None),
        # Without a head, there is no part of an answer.
        (cut_off(30, phase="awaiting_response"), None),
        (cut_off(30, "read_timeout"), None),
        (cut_off(30, "cancelled"), None),
        (cut_off(30, "500"), None),
    ],
)
def test_answers_that_end_early(snapshot, severity):
    its = [f for f in diagnose(snapshot) if f.kind is Kind.TRUNCATED_ANSWERS]
    assert [finding.severity for finding in its] == ([severity] if severity else [])
    for finding in its:
        assert "the answer, 1.5 s to 1.5 s (median 1.5 s) after" in finding.observed
        assert "closed before it was complete" in finding.explanation


def test_answers_that_end_early_explain_failed_calls():
    """There is one finding with the account, and no second one of unknown cause."""
    (totals,) = cut_off(30).totals
    minute = of_calls(50, errors={"protocol_error": 30})
    snapshot = a_snapshot(totals, **an_account(*[minute] * 5), calls=(the_calls(),))
    assert kinds(snapshot) == [Kind.TRUNCATED_ANSWERS]
    assert "150 of 250 calls to openai failed" in found(Kind.TRUNCATED_ANSWERS, snapshot).observed


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
    ("snapshot", "fires"),
    [
        (expired(9, 9), False),
        (expired(10, 10), True),
        (expired(20, 9), False),  # most new ones replace one that expired
        (expired(20, 10), True),
        (expired(38, 38, 0.04), False),  # under a twentieth of the time
        (expired(38, 38, 0.042), True),
    ],
)
def test_expiring_connections_are_a_finding(snapshot, fires):
    assert (all_kinds(snapshot) == [EXPIRY]) is fires


def test_expiry_is_a_warning_where_connecting_takes_long():
    """The threshold is a quarter of the time."""
    assert found(EXPIRY, expired(38, 36)).observed == (
        "38 of 100 requests (38%) needed a new connection. To establish these took 11% of the time "
        "of all requests. Most connections were closed with the reason keepalive_expired."
    )
    assert not kinds(expired(20, 20, 0.2))
    assert kinds(expired(20, 20, 0.3)) == [EXPIRY]
    assert "keepalive_expiry=60" in found(EXPIRY, expired(20, 20)).advice


@pytest.mark.parametrize(
    ("library", "expiry", "forced"),
    [("aiohttp", 0.0, True), ("aiohttp", 15.0, False), ("httpx", 0.0, False)],
)
def test_client_that_closes_each_connection_by_its_own_setting(library, expiry, forced):
    (totals,) = expired(20, 20, 0.1).totals
    closed = replace(totals, library=library, connections_closed={"connection_close": 20})
    snapshot = a_snapshot(closed, a_pool(library=library, keepalive_expiry=expiry))
    finding = found(EXPIRY, snapshot)
    assert ("without force_close" in finding.advice) is forced
    assert ("The server, a proxy or the client" in finding.explanation) is not forced
    assert finding.severity is (Severity.INFO if forced else Severity.WARNING)


def test_connections_that_could_not_be_made_did_not_expire():
    """Their set-up time is not counted as the cost of expiry."""
    (totals,) = expired(20, 20).totals
    (origin,) = totals.origins
    failed = Outcome(count=1, error="connect_timeout", sent=1, seconds=9.0, held_seconds=9.0)
    origin = replace(origin, outcomes=(*origin.outcomes, failed), requests_on_new_connection=0)
    assert EXPIRY not in all_kinds(a_snapshot(replace(totals, origins=(origin,))))


@pytest.mark.parametrize(
    ("reason", "maximum", "advice"),
    [
        ("keepalive_limit", 10, "Raise the limit on idle connections. Allow 10 connections"),
        ("keepalive_limit", None, "configure_pools(max_keepalive_connections=14"),
        ("connection_close", 10, "Turn keep-alive on in the server or proxy"),
        ("server_disconnect", 10, "keepalive_timeout"),
        ("cancelled", 10, "if a timeout cancels them"),
        # These have findings of their own, or are no problem.
        ("pool_closed", 10, ""),
        ("error", 10, ""),
    ],
)
def test_reason_why_connections_are_not_reused(reason, maximum, advice):
    (totals,) = expired(20, 20, 0.3).totals
    pool = a_pool(max_connections=maximum)
    closed = replace(totals, connections_closed={reason: 20, "error": 5}, peak_active=14)
    findings = [f for f in diagnose(a_snapshot(closed, pool)) if f.kind is EXPIRY]
    assert len(findings) == bool(advice)
    for finding in findings:
        assert reason in finding.observed
        assert advice in finding.advice
    # At least half of the closed and of the new connections must have the reason.
    mixed = replace(totals, connections_closed={reason: 20, "pool_closed": 21})
    assert EXPIRY not in all_kinds(a_snapshot(mixed, pool))
    grown = replace(closed, connections_opened=60)
    assert EXPIRY not in all_kinds(a_snapshot(grown, pool))


@pytest.mark.parametrize(
    ("reason", "each", "severity"),
    [
        ("connection_close", 0.2, Severity.WARNING),
        ("server_disconnect", 0.3, Severity.WARNING),
        ("server_disconnect", 0.2, Severity.WARNING),
        ("server_disconnect", 0.04, None),
        ("keepalive_limit", 0.2, Severity.INFO),
        ("cancelled", 0.2, Severity.INFO),
    ],
)
def test_connections_that_the_server_closes_are_a_warning(reason, each, severity):
    """The limit is a twentieth of the time, but a quarter for causes in the client."""
    (totals,) = expired(38, 38, each).totals
    snapshot = a_snapshot(replace(totals, connections_closed={reason: 38}))
    severities = [f.severity for f in diagnose(snapshot) if f.kind is EXPIRY]
    assert severities == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("each", "severity"), [(0.08, Severity.INFO), (0.1, Severity.WARNING), (0.3, Severity.WARNING)]
)
def test_connections_that_the_server_closes_are_cheap(each, severity):
    """This does not hold if they take 0.1 s or a quarter of the time."""
    (totals,) = expired(98, 98, each).totals
    snapshot = a_snapshot(replace(totals, connections_closed={"server_disconnect": 98}))
    assert found(EXPIRY, snapshot).severity is severity


NOTHING = a_snapshot(the_totals(0, connections_opened=0), uptime=1.0)


def set_up(step: str, took: float, connections: int = 20, **more: Any) -> Snapshot:
    """Connections were established in ``took`` seconds each, nearly all of it in one step."""
    steps = {"resolve": 0.0, "connect": 0.01, "proxy": 0.0, "tls": 0.02, "other": 0.0, "thread": 0}
    steps[step] = took
    times = {name: each * connections for name, each in steps.items()}
    totals = the_totals(
        100,
        {"connecting": took * connections / 100},
        origin={"set_up_seconds": times, "requests_on_new_connection": connections},
        connections_opened=connections,
        connections_closed={"keepalive_expired": connections},
    )
    return a_snapshot(totals, **more)


@pytest.mark.parametrize(
    ("step", "name", "advice"),
    [
        ("resolve", "resolving the name", "resolv.conf"),
        ("connect", "in the TCP handshake", "route to the server"),
        ("proxy", "waiting for the proxy", "check the proxy"),
        ("tls", "in the TLS handshake", "short of CPU"),
        ("other", "in a step that the library does not show", "resolver"),
    ],
)
def test_slow_step_of_establishing_is_named_and_not_the_keepalive(step, name, advice):
    """Half of the connections expired, which costs little once they are established quickly."""
    snapshot = set_up(step, 3.0)
    assert EXPIRY in all_kinds(set_up(step, 0.4), NOTHING)
    assert all_kinds(snapshot, NOTHING) == [CONNECTING]
    finding = found(CONNECTING, snapshot, NOTHING)
    assert finding.severity is Severity.WARNING
    assert finding.observed.startswith(
        "In the last 2 min, 20 new connections to api.test:443 took 3.0 s each, "
    )
    assert finding.observed.endswith(f"% of it {name}.")
    assert advice.lower() in finding.advice.lower()
    # A set-up that is still running makes the mean a minimum.
    running = replace(snapshot, pools=(a_pool(connections=[a_connection("connecting")]),))
    assert (
        "21 new connections to api.test:443 took 2.9 s each"
        in found(CONNECTING, running, NOTHING).observed
    )
    # Connections that are kept need fewer set-ups.
    assert "Keep idle connections for longer" in finding.advice
    assert "Idle connections are closed after 5 s, before the next" in finding.explanation


@pytest.mark.parametrize(
    ("now", "before", "fires"),
    [
        (set_up("resolve", 0.9), NOTHING, False),
        (set_up("resolve", 1.0), NOTHING, True),
        (set_up("resolve", 3.0, connections=4), NOTHING, False),
        (set_up("resolve", 3.0, connections=5), NOTHING, True),
        (set_up("resolve", 3.0, **BLOCKED), NOTHING, False),
        (set_up("resolve", 0.4, 60), set_up("resolve", 0.01, 30, uptime=50.0), True),
        (set_up("resolve", 0.4, 60), set_up("resolve", 0.2, 30, uptime=50.0), False),
    ],
)
def test_when_establishing_is_slow(now, before, fires):
    """The limits are 1 s, and three times as long as before."""
    assert (CONNECTING in all_kinds(now, before)) is fires


@pytest.mark.parametrize(
    ("times", "dead"),
    [
        ({"connect": 5.0}, True),
        ({"connect": 4.5, "tls": 0.5}, True),
        ({"connect": 4.4, "tls": 0.6}, False),
        ({"resolve": 5.0}, False),
        ({"connect": 0.9}, False),
    ],
)
def test_address_that_does_not_answer(times, dead):
    """The client waits for it before it tries the next one."""
    took = {step: 20 * time for step, time in times.items()}
    spent = {"phase_seconds": {"connecting": sum(took.values())}, "set_up_seconds": took}
    before = set_up("connect", 0.1, 20)
    now = a_snapshot(the_totals(40, origin=spent, connections_opened=40), uptime=200.0)
    finding = found(CONNECTING, now, before)
    assert ("several addresses" in finding.explanation) is dead
    assert finding.advice.startswith("List the addresses of the host") is dead


def a_minute(step: str, took: float, requests: int = 20) -> Any:
    """A minute in which most requests waited ``took`` seconds for a new connection."""
    waits = requests * 9 // 10
    minute = of_calls(requests, {"requesting": 1.0 + took * 0.9}, took=1.1, reading=1.0)
    of_origin = minute["openai/httpx2", ORIGIN, "openai"]
    of_origin |= {("phase", "connecting"): waits * took, ("step", step): waits * took}
    of_origin["on_new_connection",] = waits
    if took > 1:
        minute["calls", "any_llm", "openai"] |= {("took", 1.1): 0, ("took", 4.3): requests}
    closed = {("opened",): waits, ("closed", "keepalive_expired"): waits}
    return {**minute, ("openai/httpx2", None, None): closed}


@pytest.mark.parametrize("slow", [1, 4, 12, 40])
@pytest.mark.parametrize("well", [1, 3, 8, 50])
@pytest.mark.parametrize(
    ("step", "kind"), [("tls", CONNECTING), ("thread", Kind.EXECUTOR_FULL)], ids=["tls", "thread"]
)
def test_connections_that_became_slow_to_establish(well, slow, step, kind):
    """In young and old processes, recently or for long. Missing reuse is not the finding."""
    minutes = [a_minute("tls", 0.02)] * well + [a_minute(step, 3.0)] * slow
    totals = the_totals(origin={"provider": "openai"})
    snapshot = a_snapshot(totals, **an_account(*minutes), calls=(the_calls(),))
    assert kinds(snapshot) == [kind]
    assert "took 3.0 s each" in found(kind, snapshot).observed
    assert ("waiting for a thread" in found(kind, snapshot).observed) is (step == "thread")
    recovered = [*minutes, *[a_minute("tls", 0.02)] * 2]
    after = a_snapshot(totals, **an_account(*recovered), calls=(the_calls(),))
    assert kind not in kinds(after)


def test_connect_timeouts_are_a_consequence_of_a_full_executor():
    minute = a_minute("thread", 3.0)
    minute["openai/httpx2", ORIGIN, "openai"]["left", None, "connect_timeout", False] = 3
    totals = the_totals(origin={"provider": "openai"})
    accounts = an_account(*[a_minute("tls", 0.02)] * 50, *[minute] * 12)
    snapshot = a_snapshot(totals, **accounts, calls=(the_calls(),))
    assert kinds(snapshot) == [Kind.EXECUTOR_FULL]
    assert found(Kind.EXECUTOR_FULL, snapshot).severity is Severity.ERROR
    assert "; 3 of 23 requests got no connection" in found(Kind.EXECUTOR_FULL, snapshot).observed


def test_connect_timeouts_name_the_step_that_they_ended():
    """If the resolver did not answer, the cause is no firewall."""
    origin = {"set_up_seconds": {"resolve": 25.0, "connect": 0.1}}
    finding = found(FAILURES, failing(100, origin, connect_timeout=5))
    assert "resolving the name" in finding.explanation
    assert "firewall" not in finding.explanation
    connect = {"set_up_seconds": {"resolve": 0.1, "connect": 25.0}}
    assert "firewall" in found(FAILURES, failing(100, connect, connect_timeout=5)).explanation


@pytest.mark.parametrize(("step", "fires"), [("resolve", True), ("tls", False)])
def test_slow_resolver_is_reported_beside_client_churn(step, fires):
    """Building clients keeps the CPU busy, which makes handshakes longer."""
    (churn,) = churned(20, 20).totals
    (slow,) = set_up(step, 3.0).totals
    spent = {"connecting": 60.0}
    times = {"set_up_seconds": slow.origins[0].set_up_seconds}
    origin = replace(churn.origins[0], phase_seconds=spent, **times)
    snapshot = a_snapshot(replace(churn, origins=(origin,)), a_pool(requests_entered=1))
    assert kinds(snapshot, NOTHING) == ([CHURN, CONNECTING] if fires else [CHURN])


def lost_early(on_new: int, on_reused: int, *open_: Any, new: int = 100) -> Snapshot:
    """Of 200 requests, ``new`` on new connections, some failed before an answer."""
    origin = {"requests_on_new_connection": new, "reuse_failures": on_reused}
    errors = {"read_error": on_new + on_reused}
    return a_snapshot(the_totals(200, errors=errors, origin=origin), a_pool((), open_))


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        (lost_early(60, 50), [Kind.CLOSED_UNANSWERED]),
        (lost_early(25, 50), [Kind.CLOSED_UNANSWERED]),
        # New connections fail less often than reused ones, or hardly ever.
        (lost_early(24, 50), [REUSE]),
        (lost_early(2, 2, new=198), [REUSE]),
        (lost_early(3, 0), []),
        (lost_early(4, 0), [Kind.CLOSED_UNANSWERED]),
        # Lost while their answers were read.
        (cut_off(30), [Kind.TRUNCATED_ANSWERS]),
    ],
)
def test_connections_that_fail_as_often_when_new_are_not_blamed_on_reuse(snapshot, expected):
    assert kinds(snapshot) == expected


def test_server_that_closes_only_new_connections_limits_them():
    served, young = a_connection("active"), a_connection("active", requests_served=0)
    finding = found(Kind.CLOSED_UNANSWERED, lost_early(95, 0, *[served] * 4, young))
    assert finding.observed.endswith(
        "95 of 100 requests on a new connection failed before the first byte of an answer, and "
        "none of 100 on established ones. 4 established connections are open."
    )
    assert (
        "limits the connections of a client, to about 4, or a load balancer" in finding.explanation
    )
    assert finding.advice.startswith("Allow 4 connections: ")
    # Without a connection that works, no limit is known.
    none = found(Kind.CLOSED_UNANSWERED, lost_early(95, 0, young))
    assert none.observed.endswith(": 95% of the requests on new connections.")
    assert none.explanation.startswith("New connections fail, so neither the pool nor idle")
    both = found(Kind.CLOSED_UNANSWERED, lost_early(60, 50))
    assert both.observed.endswith(
        ": 60% of the requests on new connections and 50% of those on reused ones."
    )
    assert both.explanation == none.explanation


@pytest.mark.parametrize(
    ("on_new", "on_reused", "closed", "error", "kind"),
    [
        (95, 30, {"goaway": 14, "keepalive_expired": 2}, "protocol_error", Kind.CLOSED_UNANSWERED),
        (5, 60, {"goaway": 14}, "protocol_error", Kind.CLOSED_UNANSWERED),
        # Few connections ended with GOAWAY, or the requests failed otherwise.
        (5, 60, {"goaway": 14, "error": 14}, "protocol_error", REUSE),
        (5, 60, {"goaway": 14}, "read_error", REUSE),
    ],
)
def test_server_that_ends_http2_connections_is_named(on_new, on_reused, closed, error, kind):
    """This holds for new and for reused connections."""
    origin = {"requests_on_new_connection": 100, "reuse_failures": on_reused}
    errors = {error: on_new + on_reused}
    totals = the_totals(200, errors=errors, origin=origin, connections_closed=closed)
    assert kinds(a_snapshot(totals)) == [kind]
    finding = found(kind, a_snapshot(totals))
    named = kind is Kind.CLOSED_UNANSWERED
    assert ("ended 14 HTTP/2 connections with GOAWAY" in finding.observed) is named
    assert ("http2=False" in finding.advice) is named


def test_churn_of_an_sdk_names_it_and_the_line():
    """Outside any-llm, the call site of a client is unknown; that of its requests may not be."""
    asks = a_request("reading", call_site="chat.py:3 in ask", model=None)
    sdk = {"provider": None, "name": "openai"}
    pool = a_pool([asks], requests_entered=1, **sdk)
    totals = the_totals(20, origin={"pools": 20}, pools_opened=20, **sdk)
    finding = found(CHURN, a_snapshot(totals, pool, any_llm=False))
    assert finding.advice.startswith("Build one client of the openai SDK when the program starts")
    assert finding.evidence == (
        Fact("Latest requests of all clients", 1, 1, None, "chat.py:3 in ask"),
    )
    # None of them is in flight.
    answers = (Answer(3.0, None, 0.3, 0.1, 0, call_site="chat.py:3 in ask"),) * 20
    totals = the_totals(20, origin={"pools": 20}, pools_opened=20, answers=answers, **sdk)
    finding = found(CHURN, a_snapshot(totals, a_pool(requests_entered=1, **sdk), any_llm=False))
    assert finding.evidence == (
        Fact("Latest requests of all clients", 20, 20, None, "chat.py:3 in ask"),
    )
    own = {"provider": None, "name": "httpx2"}
    totals = the_totals(20, origin={"pools": 20}, pools_opened=20, **own)
    finding = found(CHURN, a_snapshot(totals, a_pool(requests_entered=1, **own), any_llm=False))
    assert finding.advice.startswith("Build one httpx2.AsyncClient when")
    assert not finding.evidence


@pytest.mark.parametrize(
    ("age", "answered", "fires"), [(61.0, 2, True), (61.0, 1, False), (59.0, 9, False)]
)
def test_connections_of_a_parent_process(age, answered, fires):
    """They must have served two requests: an adopted connection is assumed to have served one."""
    pool = a_pool(connections=(a_connection(age=age, requests_served=answered),))
    snapshot = a_snapshot(the_totals(9), pool, uptime=60.0)
    assert (Kind.FORKED_CLIENT in kinds(snapshot)) is fires

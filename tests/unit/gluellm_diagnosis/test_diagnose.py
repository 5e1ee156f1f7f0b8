"""Findings as a whole: healthy processes, suppression, order, and unexpected input."""

import dataclasses
import re
from dataclasses import replace
from typing import Any

import pytest

from gluellm_diagnosis.diagnose import diagnose
from gluellm_diagnosis.findings import Kind, Severity
from opentelemetry.instrumentation.gluellm.snapshots.parts import (
    OriginTotals,
    PoolSnapshot,
    ProcessSnapshot,
    RequestSnapshot,
)
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot

from .building import (
    BLOCKED,
    a_connection,
    a_pool,
    a_request,
    a_snapshot,
    all_kinds,
    an_account,
    counted,
    found,
    kinds,
    the_totals,
)

EMPTY = Snapshot(taken_at=0.0, uptime=0.0, leak_threshold=0.0, process=ProcessSnapshot(pid=1))


def in_trouble(**process: Any) -> Snapshot:
    """The symptoms of a blocked loop: queued requests, a slow provider, unread answers."""
    pool = a_pool(
        [a_request(held=1.0)] * 10 + [a_request("queued", 5.0)] * 5, [a_connection("active")] * 10
    )
    totals = the_totals(
        200, {"queued": 5.0, "awaiting_response": 2.0, "unread": 2.0}, peak_active=10, peak_queued=9
    )
    return a_snapshot(totals, pool, uptime=110.0, **process)


def refused(requests: int, failed: int, uptime: float = 100.0, **more: Any) -> Snapshot:
    return a_snapshot(
        the_totals(requests, errors={"connection_error": failed}), uptime=uptime, **more
    )


def late(uptime: float = 100.0, **changes: Any) -> Snapshot:
    return a_snapshot(uptime=uptime, **{**BLOCKED, **changes})


AT_ITS_LIMIT = a_pool([a_request(held=0.5)] * 10, [a_connection("active")] * 10)
UNMEASURED = dict.fromkeys(("event_loop_lag", "event_loop_late", "event_loop_late_share"))
LOOP, FAILURES = [Kind.BLOCKED_EVENT_LOOP], [Kind.CONNECT_FAILURES]
OVER = a_snapshot(the_totals(100, {"queued": 5.0}, peak_active=10), uptime=50.0)
BEFORE = late(90.0, event_loop_lag=0.01, event_loop_late_share=0.0)


@pytest.mark.parametrize(
    ("snapshot", "previous", "expected"),
    [
        # Late for more than a fifth of the time; the longest delay does not matter.
        (late(event_loop_late=20.0, event_loop_late_share=0.0), None, []),
        (late(event_loop_late=21.0, event_loop_late_share=0.0), None, LOOP),
        # The last minute counts as well as a day; the time before the period does not.
        (late(86_400.0), None, LOOP),
        (late(86_400.0, event_loop_late_share=0.0), None, []),
        (late(100.0, event_loop_late=41.9), BEFORE, []),
        (late(99.0, event_loop_late=41.9), BEFORE, LOOP),
        # The monotonic clock orders snapshots: a set-back wall clock does not matter.
        (refused(100, 50), dataclasses.replace(refused(60, 50, 50.0), taken_at=9e9), []),
        # Snapshots of a fork's parent, or in the wrong order, are ignored.
        (refused(100, 50), refused(50, 50, 50.0, pid=18), FAILURES),
        (refused(100, 50), refused(50, 50), FAILURES),
        (refused(100, 50), refused(50, 50, 150.0), FAILURES),
        # A problem that ended before `previous` is not reported.
        (OVER, None, [Kind.POOL_TOO_SMALL]),
        (a_snapshot(the_totals(200, {"queued": 2.5}, peak_active=10)), OVER, []),
        # A new name has no baseline; totals that decreased are ignored.
        (refused(100, 50), a_snapshot((the_totals(name="anthropic"),), uptime=50.0), FAILURES),
        (a_snapshot(the_totals(10)), refused(1000, 900, 50.0), []),
    ],
)
def test_findings_are_those_of_the_interval(snapshot, previous, expected):
    assert kinds(snapshot, previous) == expected


def test_healthy_process_has_no_findings():
    """All connections may be in use, as long as no request waits."""
    reading = the_totals(100, now={"reading": 10}, peak_active=10)
    for healthy in (a_snapshot(), EMPTY, a_snapshot(reading, AT_ITS_LIMIT)):
        assert diagnose(healthy) == []
    assert diagnose(a_snapshot(**UNMEASURED)) == []  # with loop_lag=False
    assert diagnose(a_snapshot(the_totals(200), uptime=200.0), a_snapshot()) == []


def test_defaults_of_openai_are_information():
    """A pool timeout of ten minutes is INFO if requests have queued, else no finding."""
    pool = a_pool(max_connections=1000, pool_timeout=600.0)
    # One that waits for a moment below the limit has not queued for a connection.
    for totals in (the_totals(), the_totals(peak_queued=1)):
        assert Kind.POOL_TIMEOUT not in all_kinds(a_snapshot(totals, pool))
    totals = the_totals(peak_active=1000, peak_queued=3)
    finding = found(Kind.POOL_TIMEOUT, a_snapshot(totals, pool))
    assert not kinds(a_snapshot(totals, pool))
    assert finding.severity is Severity.INFO
    assert finding.observed == "Pool timeout 600 s, read timeout 600 s."
    assert "default of the openai and anthropic SDKs" in finding.explanation
    assert 'AnyLLM.create("openai", timeout=httpx2.Timeout(600, connect=5, pool=' in finding.advice


def test_blocked_loop_suppresses_findings_with_the_same_symptoms():
    """It has the symptoms of a small pool, a slow provider and a slow consumer."""
    before = a_snapshot()
    assert set(kinds(in_trouble(), before)) == {Kind.SLOW_CONSUMER, Kind.SLOW_PROVIDER}
    assert all_kinds(in_trouble(**BLOCKED), before) == [Kind.BLOCKED_EVENT_LOOP]


def test_requests_that_end_in_read_timeouts_are_not_advised_to_have_one():
    """They have one; requests that are only slower may have none."""
    totals = the_totals(100, {"reading": 9.0}, errors={"read_timeout": 10})
    ended = a_snapshot(totals, a_pool(read_timeout=60.0))
    assert "Raise the read timeout" in found(Kind.SLOW_PROVIDER, ended).advice
    assert "Set a read timeout" not in found(Kind.SLOW_PROVIDER, ended).advice
    for timeout, advice in (
        (None, "Set a read timeout."),
        (600, "Lower the read timeout from 600 s."),
    ):
        pool = a_pool(read_timeout=timeout)
        slower = a_snapshot(the_totals(200, {"reading": 9.0}), pool, uptime=200.0)
        assert advice in found(Kind.SLOW_PROVIDER, slower, a_snapshot()).advice


def test_one_pause_suppresses_no_finding():
    """617 requests wait, the oldest for 157 s, and the loop once paused for 0.25 s."""
    ages = [157.0, *([100.0] * 616)]
    pool = a_pool([a_request("queued", age) for age in ages], [a_connection("active")] * 10)
    totals = the_totals(100, {"queued": 30.0}, now={"queued": 617}, peak_active=10)
    paused = {"event_loop_lag": 0.25, "event_loop_late": 0.25, "event_loop_late_share": 0.25 / 60}
    for before in (None, a_snapshot(the_totals(50), uptime=290.0)):
        snapshot = a_snapshot(totals, pool, uptime=300.0, **paused)
        (worst, *_) = diagnose(snapshot, before)
        assert worst.kind is Kind.POOL_TOO_SMALL
    assert Kind.BLOCKED_EVENT_LOOP not in kinds(snapshot)  # it would distract from what hurts
    pause = found(Kind.BLOCKED_EVENT_LOOP, a_snapshot(uptime=300.0, **paused))
    assert pause.severity is Severity.INFO
    assert pause.observed.endswith("late for 0.4% of the last 60 s, by up to 0.25 s.")
    assert not kinds(a_snapshot(uptime=300.0, **paused))


@pytest.mark.parametrize(("longest", "fires"), [(5.0, False), (5.1, True), (157.0, True)])
def test_wait_that_no_pause_explains_is_always_reported(longest, fires):
    """The limit is ten times the worst lag of the blocked loop."""
    pool = a_pool([a_request("queued", longest)], [a_connection("active")] * 10)
    found_kinds = kinds(a_snapshot(the_totals(), pool, **BLOCKED))
    assert ({Kind.BLOCKED_EVENT_LOOP, Kind.POOL_SATURATED} == {*found_kinds}) is fires
    assert fires or found_kinds == [Kind.BLOCKED_EVENT_LOOP]


@pytest.mark.parametrize(("unread", "fires"), [(5.0, False), (5.1, True)])
def test_leak_that_no_pause_explains_is_always_reported(unread, fires):
    """It is below the leak threshold, and short pool timeouts leave no request queued."""
    requests = [a_request("unread", unread, call_site="app.py:3 in ask")] * 10
    pool = a_pool(requests, [a_connection("active")] * 10)
    totals = the_totals(60, errors={"pool_timeout": 30})
    minute = an_account(counted([totals], []), row=100.0)
    first = diagnose(a_snapshot(totals, pool, **BLOCKED, **minute))[0]
    assert first.kind is (Kind.POOL_SATURATED if fires else Kind.BLOCKED_EVENT_LOOP)
    assert ("Likely a leak. Answers unread over 5 s: 10" in first.explanation) is fires


@pytest.mark.parametrize("process", [{}, BLOCKED], ids=["fine", "blocked"])
def test_stuck_requests_are_reported_although_a_connection_is_idle(process):
    """httpcore 1.0 has an idle connection for a moment while it assigns it to a waiter."""
    connections = [a_connection("active")] * 9 + [a_connection("idle")]
    pool = a_pool([a_request("queued", 12.0)], connections)
    snapshot = a_snapshot(the_totals(), pool, **process)
    finding = found(Kind.POOL_SATURATED, snapshot)
    assert finding.severity is Severity.WARNING
    assert finding.observed.startswith("9 of 10 connections in use and 1 request queued")
    assert finding.explanation.startswith("Requests are stuck at this moment.")


@pytest.mark.parametrize(("share", "severity"), [(0.49, Severity.WARNING), (0.5, Severity.ERROR)])
def test_loop_that_is_blocked_half_of_the_time_is_an_error(share, severity):
    """Every request of the process hangs while it is blocked."""
    snapshot = a_snapshot(event_loop_lag=0.3, event_loop_late=100 * share)
    assert found(Kind.BLOCKED_EVENT_LOOP, snapshot).severity is severity


@pytest.mark.parametrize(
    ("cause", "line"),
    [
        ("blocking_call", True),
        ("cpu_contention", True),
        ("cpu_quota", False),
        ("interpreter_lock", False),
        ("process_stopped", False),
    ],
)
def test_line_that_blocks_the_loop_is_in_the_finding(cause, line):
    """With a CPU quota, the lock or a stop, the line at which it stopped means nothing."""
    sites = {"app.py:40 in rank": 9, "app.py:8 in load": 2}
    causes = {"event_loop_late_share": 1 / 3, "event_loop_late_causes": {cause: 17.0}}
    finding = found(
        Kind.BLOCKED_EVENT_LOOP,
        late(
            **causes, event_loop_busy_at=sites, event_loop_stack=("ssl.py:9 in read", "app.py:40")
        ),
    )
    named = "Your code at app.py:40 in rank keeps it busy (9 of 11 stack samples, in ssl.py:9 in"
    assert (named in finding.observed) is line
    assert ("asyncio.to_thread" in finding.advice) is line
    assert ("a wait for the CPU" in finding.explanation) is (cause == "cpu_contention")


@pytest.mark.parametrize(
    ("checks", "of", "frames", "line"),
    [(2, 3, 1, False), (3, 5, 1, True), (5, 10, 1, False), (9, 10, 0, False)],
)
def test_loop_without_cpu_names_only_a_line_that_most_checks_agree_on(checks, of, frames, line):
    """Such a loop stops at any line, as in what reads a stream: innermost frames differ then."""
    causes = {"event_loop_late_share": 1 / 3, "event_loop_late_causes": {"cpu_contention": 17.0}}
    sites = {"app.py:9 in ask": checks, "pathlib.py:765 in joinpath": of - checks}
    snapshot = late(**causes, event_loop_busy_at=sites, event_loop_stack=("app.py:9",) * frames)
    finding = found(Kind.BLOCKED_EVENT_LOOP, snapshot)
    assert ("app.py" in finding.observed) is line
    assert ("get more CPU (Kubernetes" in finding.advice) is not line
    assert (finding.advice.endswith("Also run fewer workers and threads, or get more CPU.")) is line


@pytest.mark.parametrize(
    ("sites", "stack", "lock"),
    [
        ({"app.py:8 in step": 26}, ("app.py:8 in step",), True),
        ({"app.py:8 in step": 2}, ("app.py:8 in step",), False),
        ({"app.py:8 in step": 13, "app.py:9 in step": 13}, ("app.py:8 in step",), False),
        ({"app.py:8 in step": 26}, ("json.py:5 in dump", "app.py:8 in step"), False),
    ],
)
def test_loop_that_is_always_at_one_line_may_wait_for_a_lock(sites, stack, lock):
    """No Python code runs below that line."""
    causes = {"event_loop_late_share": 1 / 3, "event_loop_late_causes": {"blocking_call": 17.0}}
    snapshot = late(**causes, event_loop_busy_at=sites, event_loop_stack=stack)
    finding = found(Kind.BLOCKED_EVENT_LOOP, snapshot)
    assert ("another thread holds the lock" in finding.advice) is lock
    assert ("was running in it (2 of 2" in finding.observed) is (sum(sites.values()) == 2)


@pytest.mark.parametrize(
    ("causes", "named_causes", "advised"),
    [
        ({}, "", "Find it"),
        ({"cpu_quota": 1.0}, "", "Find it"),  # of 20 s of the minute
        (
            {"blocking_call": 2.0, "cpu_quota": 17.0},
            "cpu quota 17 s, blocking call 2.0 s",
            "Raise the CPU limit",
        ),
        ({"blocking_call": 17.0}, "blocking call 17 s", "Find it"),
        ({"cpu_contention": 17.0}, "cpu contention 17 s", "Run "),
        ({"interpreter_lock": 17.0}, "interpreter lock 17 s", "Move"),
        ({"process_stopped": 17.0}, "process stopped 17 s", "Find what stops it: SIGSTOP"),
        ({"of_a_later_version": 17.0}, "of a later version 17 s", ""),
    ],
)
def test_late_loop_is_explained_by_the_cause_of_most_of_it(causes, named_causes, advised):
    snapshot = late(event_loop_late_share=1 / 3, event_loop_late_causes=causes)
    finding = found(Kind.BLOCKED_EVENT_LOOP, snapshot)
    causes_text = f" Causes in the last minute: {named_causes}." if named_causes else ""
    assert (
        finding.observed == f"An event loop with requests in flight was late for 40% of the "
        f"last 2 min, by up to 0.50 s.{causes_text}"
    )
    assert finding.advice.startswith(advised)


def test_hub_of_greenlets_that_is_late_is_named_as_such():
    """The blocking greenlet is unknown; pools and provider are not blamed."""
    finding = found(Kind.BLOCKED_EVENT_LOOP, late(greenlets=True))
    assert finding.observed.startswith("The hub that runs all greenlets (gevent or eventlet) was ")
    assert "It is not known which greenlet it is." in finding.explanation
    assert "GEVENT_MONITOR_THREAD_ENABLE=1" in finding.advice
    assert "asyncio" not in finding.advice


@pytest.mark.parametrize(
    ("used", "limit", "severity"),
    [
        (819, 1024, None),
        (820, 1024, Severity.WARNING),
        (1024, 1024, Severity.WARNING),
        (5000, None, None),
        (None, 1024, None),
    ],
)
def test_descriptors_near_their_limit_are_a_finding(used, limit, severity):
    """The threshold is 80 % of the limit, if there is a limit."""
    snapshot = a_snapshot(open_descriptors=used, descriptor_limit=limit)
    assert [f.severity for f in diagnose(snapshot)] == ([severity] if severity else [])


def test_descriptors_that_are_no_connections_are_not_blamed_on_the_pools():
    snapshot = a_snapshot((), a_pool((), [a_connection()] * 3), open_descriptors=900)
    finding = found(Kind.DESCRIPTORS_NEAR_LIMIT, snapshot)
    assert finding.observed.endswith("Connections of the pools take 3 of them.")
    assert "ls -l /proc/17/fd" in finding.advice


def test_ignored_environment_variables_are_one_finding():
    """The finding names what is read instead."""
    names = ("HTTPX_MAX_CONNECTIONS", "HTTPX_MAX_KEEPALIVE_CONNECTIONS")
    for gluellm in (False, True):
        snapshot = a_snapshot(ignored_variables=names, gluellm=gluellm)
        finding = found(Kind.IGNORED_VARIABLE, snapshot)
        assert finding.severity is Severity.INFO
        assert all(name in finding.observed for name in names)
        assert "GLUELLM_HTTP_MAX_CONNECTIONS" in finding.advice


def test_variables_that_look_like_limits_without_any_llm_need_a_client_of_the_sdk():
    """Each client of the advice is one that the SDK accepts, with the limit."""
    modules = {name: pytest.importorskip(name) for name in "openai anthropic httpx httpx2".split()}
    snapshot = a_snapshot(ignored_variables=("HTTPX_MAX_CONNECTIONS",), any_llm=False)
    advice = found(Kind.IGNORED_VARIABLE, snapshot).advice
    assert "configure_pools" not in advice
    codes = re.findall(r"Async\w+\(http_client=\S+\)\)\)", advice)
    assert len(codes) == 2
    for code in codes:
        sdk = modules[code.removeprefix("Async").partition("(")[0].lower()]
        arguments = code.partition("(")[2].removesuffix(")").replace("=N", "=7")
        name = code.partition("(")[0]
        client = eval(f"sdk.{name}(api_key='any', {arguments})", {**modules, "sdk": sdk})
        assert client._client._transport._pool._max_connections == 7
        assert client.timeout.read == 600


def test_requests_outside_the_scope_are_a_warning_if_nothing_is_observed():
    """A report that shows nothing must not look like one of a healthy program."""
    outside = a_snapshot(requests_outside_scope=3)
    assert Kind.OUTSIDE_SCOPE not in kinds(outside)
    finding = found(Kind.OUTSIDE_SCOPE, replace(outside, totals=()))
    assert finding.severity is Severity.WARNING
    assert "at least 3 went through others" in finding.observed
    assert "OTEL_PYTHON_GLUELLM_SCOPE=all" in finding.advice
    assert Kind.OUTSIDE_SCOPE not in kinds(replace(a_snapshot(), totals=()))


@pytest.mark.parametrize(("used", "severity"), [(50, Severity.INFO), (900, Severity.WARNING)])
def test_unbounded_pool_is_information_until_descriptors_run_out(used, severity):
    """The advised limit is httpx's default."""
    pool = a_pool(max_connections=None)
    finding = found(Kind.UNBOUNDED_POOL, a_snapshot(the_totals(), pool, open_descriptors=used))
    assert finding.severity is severity
    assert "max_connections=100)" in finding.advice


@pytest.mark.parametrize(
    ("pool_timeout", "read_timeout", "fires"),
    [
        (None, 5.0, True),
        (None, None, True),
        (5.0, None, False),
        (5.0, 5.0, False),
        (20.0, 20.0, True),
        (4.9, 5.0, False),
    ],
)
def test_pool_timeout_that_is_missing_or_too_long_is_a_finding(pool_timeout, read_timeout, fires):
    """It is missing, or more than 10 s and not shorter than the read timeout."""
    pool = a_pool(pool_timeout=pool_timeout, read_timeout=read_timeout)
    totals = the_totals(peak_active=10, peak_queued=1)
    assert (Kind.POOL_TIMEOUT in all_kinds(a_snapshot(totals, pool))) is fires
    free = a_pool(pool_timeout=pool_timeout, read_timeout=read_timeout, max_connections=None)
    assert Kind.POOL_TIMEOUT not in all_kinds(a_snapshot(totals, free))


@pytest.mark.parametrize(("entered", "fires"), [(1, False), (2, True)])
def test_timeout_is_unknown_while_the_first_request_is_queued(entered, fires):
    """httpcore imports anyio then, which can take a second."""
    queued = a_pool([a_request("queued", 1.0)], pool_timeout=None, requests_entered=entered)
    assert (Kind.POOL_TIMEOUT in all_kinds(a_snapshot(the_totals(), queued))) is fires


def test_finding_is_about_pools_with_the_same_timeouts():
    """It names the timeouts of the longest wait, and counts the requests that have them."""

    def pool(read_timeout, *ages):
        queued = [a_request("queued", age) for age in ages]
        return a_pool(queued, pool_timeout=600.0, read_timeout=read_timeout)

    pools = pool(300.0, 1.0), pool(60.0, 5.0, 20.0), pool(60.0, 4.0)
    finding = found(Kind.POOL_TIMEOUT, a_snapshot(the_totals(), *pools))
    assert finding.observed == (
        "Pool timeout 600 s, read timeout 60 s; 3 requests queued, the longest for 20 s."
    )
    assert "Timeout(60, connect=5, pool=10)" in finding.advice


def test_missing_pool_timeout_is_a_warning_once_a_request_waits():
    """The wait has to last ten seconds."""
    short = a_pool([a_request("queued", 9.0)], pool_timeout=None)
    assert not kinds(a_snapshot(the_totals(), short))
    long = a_pool([a_request("queued", 10.0)], pool_timeout=None)
    assert kinds(a_snapshot(the_totals(), long)) == [Kind.POOL_SATURATED, Kind.POOL_TIMEOUT]


def test_most_severe_and_most_causal_come_first():
    """The order is by severity, then certain causes, conclusions and settings."""
    totals = the_totals(
        20,
        errors={"connection_error": 10},
        origin={"pools": 20},
        pools_opened=20,
        anomalies={"orphaned_connection": 1},
        peak_active=10,
        peak_queued=1,
    )
    snapshot = a_snapshot(
        totals,
        a_pool(pool_timeout=None),
        **BLOCKED,
        open_descriptors=900,
        ignored_variables=("HTTPX_MAX_CONNECTIONS",),
    )
    assert all_kinds(snapshot) == [
        Kind.CONNECT_FAILURES,
        Kind.CLIENT_CHURN,
        Kind.BLOCKED_EVENT_LOOP,
        Kind.DESCRIPTORS_NEAR_LIMIT,
        Kind.ANOMALY,
        Kind.POOL_TIMEOUT,
        Kind.IGNORED_VARIABLE,
    ]


def test_one_finding_per_cause_and_pool_name():
    """Two pools of a name have one finding; another name has its own."""
    mine = the_totals(errors={"connection_error": 50})
    theirs = the_totals(errors={"connection_error": 50}, name="anthropic", library="httpx")
    again = the_totals(errors={"connection_error": 5}, provider="other")
    findings = diagnose(a_snapshot((mine, theirs, again)))
    assert [(f.kind, f.pool) for f in findings] == [
        (Kind.CONNECT_FAILURES, "anthropic/httpx"),
        (Kind.CONNECT_FAILURES, "openai/httpx2"),
    ]


def test_unknown_words_raise_nothing():
    """A later version can have other phases, errors and anomalies."""
    origin = OriginTotals(
        origin="x",
        pools=1,
        requests_entered=5,
        phase_seconds={"sleeping": 5.0},
        requests_now={"sleeping": 1},
        timeouts={},
    )
    totals = dataclasses.replace(the_totals(anomalies={"ghost": 1}), origins=(origin,))
    request = RequestSnapshot(origin="x", phase="sleeping", phase_age=1.0, age=1.0)
    pool = PoolSnapshot(
        name="openai", provider=None, library="httpx9", age=1.0, requests_entered=1,
        max_connections=1, requests=(request,), pool_timeout=1.0,
    )  # fmt: skip
    assert kinds(a_snapshot(totals, pool)) == [Kind.ANOMALY]

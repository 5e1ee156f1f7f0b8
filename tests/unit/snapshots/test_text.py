"""Snapshots and findings as text."""

import dataclasses
import json

from gluellm_diagnosis.diagnose import diagnose
from gluellm_diagnosis.findings import Finding, Kind, Severity, findings_text
from opentelemetry.instrumentation.gluellm.snapshots.parts import CallsSnapshot
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot
from opentelemetry.instrumentation.gluellm.text import counted, percent, rate, seconds, timeout_text
from unit.gluellm_diagnosis.building import (
    a_connection,
    a_pool,
    a_request,
    a_snapshot,
    an_account,
    of_calls,
    the_calls,
    the_totals,
)

SHOWN = """\
connection pools of process 17 at 2027-01-15 08:01:40 UTC, 100 s after instrumentation
event loop late by up to 0.010 s; 50 of 1024 file descriptors open

openai/httpx2: 2 active, 0 connecting, 0 idle of 2 connections; 2 queued
  keeps 10 idle for 5 s, pool timeout 600 s, read timeout 600 s, SO_KEEPALIVE off; 100 requests,
    the first 90 s ago
  built at /srv/app/llm.py:8 in <module>
  api.test:443: 2 active; oldest begun 90 s ago; these answered 20 requests
  longest held
    held 81 s, unread for 80 s, LEAK SUSPECTED, openai/gpt-4o, chat, api.test:443, trace
      abababababababababababababababab, correlation order-7
      /srv/app/chat.py:17 in answer
    held 3.0 s, reading for 0.40 s, openai/gpt-4o, api.test:443
  longest queued
    queued 8.0 s, pool timeout 600 s, openai/gpt-4o, api.test:443
    queued 2.0 s, openai/gpt-4o, api.test:443

since instrumentation, by pool name
  openai/httpx2: pools 1 opened, 1 alive; connections 4 opened, closed by reason:
    server_disconnect 2; requests 98 with status 200, 2 with pool_timeout; time: queued 55%,
    reading 28%, awaiting_response 17%, unread 0.3%, connecting 0.06%; peaks 2 connections, 3
    queued; leaks 1"""


def example() -> Snapshot:
    leaked = a_request(
        "unread",
        80.0,
        held=81.0,
        operation="chat",
        leak_suspected=True,
        call_site="/srv/app/chat.py:17 in answer",
        trace_id="ab" * 16,
        correlation_id="order-7",
    )
    pool = a_pool(
        [
            a_request("queued", 2.0),
            a_request("reading", 0.4, held=3.0),
            leaked,
            a_request("queued", 8.0, pool_timeout=600.0),
        ],
        [a_connection("active", age=90.0), a_connection("active")],
        max_connections=2,
        pool_timeout=600.0,
        tcp_keepalive=False,
        built_at="/srv/app/llm.py:8 in <module>",
    )
    totals = the_totals(
        100,
        {"queued": 1.0},
        errors={"pool_timeout": 2},
        connections_closed={"keepalive_expired": 0, "server_disconnect": 2},
        peak_active=2,
        peak_queued=3,
        leaks=1,
    )
    return a_snapshot(totals, pool)


def test_snapshot_text_is_complete_and_fits_a_terminal():
    """The lines fit a terminal of 100 columns."""
    assert str(example()) == SHOWN
    assert max(len(line) for line in SHOWN.splitlines()) <= 100
    text = str(dataclasses.replace(example(), pools=(), totals=()))
    assert text.splitlines()[2:] == ["", "no pool with observed requests is alive"]


CALLS = """\
LLM calls and pools of process 17 at 2027-01-15 08:01:40 UTC, 100 s after instrumentation

calls to openai (gluellm)
  in flight      14: 2 requesting (oldest 75 s), 12 backoff (oldest 8.2 s)
  silent         1; longest wait for the next item of a stream: 75 s
  ended          845: succeeded 812, abandoned 2, failed 31
  errors         28 with status 429, 3 with read_timeout
  retries        95
  time           8.1 s per call: backoff 87%, requesting 13%, limited 0.2%, preparing 0.04%
  of requesting  reading 62%, awaiting_response 37%, unread 0.6%, connecting 0.1%

event loop late by up to 0.010 s; 50 of 1024 file descriptors open

openai/httpx2: 0 active"""


def retrying_calls(**changes: object) -> CallsSnapshot:
    return the_calls(
        source="gluellm",
        now={"limited": 0, "preparing": 0, "requesting": 2, "backoff": 12, "finishing": 0},
        oldest={"requesting": 75.0, "backoff": 8.2},
        stage_seconds={"limited": 12.0, "preparing": 3.0, "requesting": 900.0, "backoff": 6000.0},
        outcomes={"succeeded": 812, "abandoned": 2, "cancelled": 0, "failed": 31},
        errors={"read_timeout": 3, "429": 28},
        retries=95,
        silent=1,
        oldest_silence=75.0,
        **changes,
    )


def test_numbers_of_what_has_not_happened_are_not_misleading():
    """25 requests are in flight and none has ended; the program has no event loop."""
    waiting = the_totals(0, now={"awaiting_response": 25})
    text = str(a_snapshot(waiting, a_pool(requests_entered=0), event_loop_lag=0.0))
    assert "0 requests" not in text
    assert "; requests ended 0;" in " ".join(text.split())
    assert text.splitlines()[1] == "50 of 1024 file descriptors open"


def test_calls_come_first_by_provider():
    """They have their stages, outcomes and times, with the phases of requests."""
    totals = [
        the_totals(origin={"provider": "openai"}),
        the_totals(1000, {"queued": 60.0}, origin={"provider": "anthropic"}),
    ]
    text = str(a_snapshot(totals, calls=(retrying_calls(),)))
    assert text.startswith(CALLS)
    assert max(len(line) for line in text.splitlines()) <= 100


def test_rows_of_calls_without_a_number_are_left_out():
    """Healthy calls take four lines. A long wait for an item is shown before it is silent."""
    calls = the_calls(oldest_silence=2.0)
    assert str(a_snapshot(calls=(calls,))).splitlines()[1:7] == [
        "",
        "calls to openai (any_llm)",
        "  in flight      none",
        "  ended          10: succeeded 10",
        "  time           1.0 s per call: requesting 98%, preparing 2%",
        "",
    ]
    waiting = dataclasses.replace(calls, oldest_silence=45.0)
    line = "  silent         0; longest wait for the next item of a stream: 45 s"
    assert line in str(a_snapshot(calls=(waiting,))).splitlines()
    unstreamed = dataclasses.replace(calls, silent=2, oldest_silence=None)
    assert "  silent         2" in str(a_snapshot(calls=(unstreamed,))).splitlines()


def test_calls_in_trouble_come_first_and_the_others_are_counted():
    """Silent calls come before many calls; foreign names and errors are bounded and printable."""
    errors = {f"Error{number}\x1b": number for number in range(1, 30)}
    calls = [the_calls(provider=f"p{number}") for number in range(8)]
    calls[4] = dataclasses.replace(calls[4], now={"backoff": 50}, errors=errors)
    calls[6] = dataclasses.replace(calls[6], silent=1)
    calls[5] = the_calls(provider=None, source="\x1b")
    lines = str(a_snapshot(calls=tuple(calls))).splitlines()
    headings = [line for line in lines if line.startswith("calls to")]
    assert headings == [f"calls to p{number} (any_llm)" for number in (6, 4, 0, 1, 2, 3)]
    assert "and 2 more providers" in lines
    assert "29 with Error29?, 28 with Error28?, " in " ".join(lines)
    assert "and 23 more errors" in " ".join(lines)
    text = str(a_snapshot(calls=(calls[5],)))
    assert "calls to an unknown provider (?)" in text
    assert "\x1b" not in text + "".join(lines)


def test_snapshot_as_dict_has_the_same_of_calls():
    """It can be passed to ``json.dumps``."""
    snapshot = a_snapshot(calls=(retrying_calls(),))
    (calls,) = json.loads(json.dumps(snapshot.to_dict()))["process"]["calls"]
    assert calls == {**dataclasses.asdict(retrying_calls()), "ages": []}


def test_long_lists_end_with_a_count():
    """A thousand requests and connections take less than 200 lines."""
    requests = [a_request(held=float(age)) for age in range(500)]
    requests += [a_request("queued", float(age)) for age in range(500)]
    connections = [a_connection(origin=f"host{number % 50}:443") for number in range(1000)]
    pools = [a_pool(requests, connections)] + [a_pool()] * 40
    totals = [the_totals(name=f"name{number}") for number in range(50)]
    lines = str(a_snapshot(totals, *pools)).splitlines()
    assert len(lines) < 200
    assert "    and 490 more requests" in lines
    assert "    and 495 more requests" in lines
    assert "  and 45 more origins" in lines
    assert "and 35 more pools" in lines
    assert "  and 30 more names" in lines
    assert any(line.startswith("    held 499 s") for line in lines)


def test_what_only_some_pools_have_is_shown():
    """Streams, a stack with leak_stacks=True, and words for None."""
    streams = {"streams_active": 7, "streams_max": 100, "streams_orphaned": 3}
    request = a_request(stack=("a.py:1 in f", "b.py:2 in g"))
    limits = "max_connections max_idle_connections keepalive_expiry pool_timeout read_timeout"
    unlimited = dict.fromkeys(limits.split())
    pool = a_pool([request], [a_connection("active", protocol="2", **streams)], **unlimited)
    text = str(a_snapshot(the_totals(), pool))
    assert "HTTP/2 streams 7 of 100, 3 orphaned" in " ".join(text.split())
    assert "0 idle of unlimited connections" in text
    assert "keeps all idle for ever, pool timeout none, read timeout none" in text
    assert "        a.py:1 in f\n        b.py:2 in g\n" in text


def test_foreign_text_stays_on_its_line():
    """Names of models and files can contain anything; control characters are replaced."""
    evil = "evil\n\x1b[2J\u202e" + "x" * 5000
    texts = "model provider operation call_site origin trace_id correlation_id".split()
    request = a_request(
        "unread", 80.0, stack=(evil,), leak_suspected=True, **dict.fromkeys(texts, evil)
    )
    pool = a_pool([request], [a_connection(evil, origin=evil)], name=evil, built_at=evil)
    snapshot = a_snapshot(the_totals(name=evil), pool, ignored_variables=(evil,))
    for text in (str(snapshot), findings_text(diagnose(snapshot))):
        assert not any(part in text for part in ("\x1b", "\u202e", "evil\n"))
        assert len(text) < 8000


def test_missing_hooks_are_named():
    """If none is missing, there is no such line."""
    missing = a_snapshot(missing_hooks=("httpx: read", "grpc: head"))
    assert "hooks missing: httpx: read, grpc: head" in " ".join(str(missing).split())
    assert missing.to_dict()["process"]["missing_hooks"] == ["httpx: read", "grpc: head"]
    assert "hooks missing" not in str(a_snapshot())


def test_observed_and_unobserved_libraries_are_named():
    snapshot = a_snapshot(
        libraries_observed=("httpx", "urllib3"), libraries_unobserved=("dspy", "niquests")
    )
    text = " ".join(str(snapshot).split())
    assert "observed libraries: httpx, urllib3; imported, but not observed: dspy, niquests" in text
    assert "observed" not in str(a_snapshot())


def test_findings_text_is_complete_and_wrapped():
    """It has severity, cause and pool, then three wrapped parts; or that there is no problem."""
    first = Finding(
        kind=Kind.POOL_TOO_SMALL,
        severity=Severity.WARNING,
        pool="openai/httpx2",
        observed="one two " * 15,
        explanation="Something.",
        advice="Do it.",
    )
    second = dataclasses.replace(first, kind=Kind.LEAK, pool=None, observed="Short.")
    assert findings_text([]) == "no problem found"
    assert findings_text([first, second]) == (
        "WARNING: pool too small in openai/httpx2\n"
        f"  observed:    {'one two ' * 9}one two\n"
        "               one two one two one two one two one two\n"
        "  explanation: Something.\n"
        "  advice:      Do it.\n"
        "\n"
        "WARNING: leak\n"
        "  observed:    Short.\n"
        "  explanation: Something.\n"
        "  advice:      Do it."
    )


def test_numbers_are_formatted_for_people():
    """Durations with about two significant digits, shares, rates, plurals and timeouts."""
    values = (0, -1, 0.0004, 0.0432, 0.512, 1.26, 60, 612.3, float("nan"))
    assert [seconds(value) for value in values] == (
        ["0 s", "0 s", "<0.001 s", "0.043 s", "0.51 s", "1.3 s", "60 s", "612 s", "unknown time"]
    )
    assert [seconds(value) for value in (7199, 7200, 3 * 86400)] == ["7199 s", "2 h", "72 h"]
    assert [percent(share) for share in (0, 0.004, 0.126, 1)] == ["0%", "0.4%", "13%", "100%"]
    assert [percent(share) for share in (0.0001, 5e-07)] == ["0.01%", "<0.01%"]
    assert [rate(value) for value in (0.123, 1.26, 12.6)] == ["0.12/s", "1.3/s", "13/s"]
    assert [counted(1, "pool"), counted(2, "pool")] == ["1 pool", "2 pools"]
    timeouts = (None, 5.0, 0.25, 2e6)
    assert [timeout_text(value) for value in timeouts] == ["none", "5 s", "0.25 s", "2000000 s"]


def test_wait_beyond_its_pool_timeout_is_explained():
    """httpcore 1.0 starts the timeout again when a request is assigned a busy connection."""
    waits = [a_request("queued", age, pool_timeout=15.0) for age in (46.0, 15.5)]
    text = " ".join(str(a_snapshot(the_totals(), a_pool(waits))).split())
    exceeded = "(exceeded: a requeue restarted the timeout, or a thread is late)"
    assert f"queued 46 s, pool timeout 15 s {exceeded}, openai" in text
    assert text.count(exceeded) == 1


def test_request_that_is_still_being_sent_is_marked():
    """It counts as waiting for an answer."""
    text = str(
        a_snapshot(the_totals(), a_pool([a_request("awaiting_response", 23.0, peer="sending")]))
    )
    assert "awaiting_response for 23 s, still being sent, openai" in text


def test_text_shows_that_calls_have_stopped():
    """It has no finding: nothing may be wrong with it."""
    history = an_account(*[of_calls(60)] * 5)
    for later, quiet in ((290.0, True), (60.0, False)):
        snapshot = a_snapshot(**{**history, "uptime": history["uptime"] + later})
        assert ("\nnothing in flight for 290 s; " in str(snapshot)) is quiet
        assert ("nothing in flight" in str(snapshot)) is quiet

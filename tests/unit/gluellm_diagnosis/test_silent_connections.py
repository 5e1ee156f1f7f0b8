"""Requests that have lost their peer are not reported as a slow provider."""

from typing import Any

import pytest

from gluellm_diagnosis.diagnose import diagnose
from gluellm_diagnosis.findings import Kind, Severity
from opentelemetry.instrumentation.gluellm.snapshots.parts import Outcome, RequestSnapshot

from .building import ORIGIN, a_pool, a_request, a_snapshot, all_kinds, found, kinds, the_totals

SILENT, SLOW, UNKNOWN = Kind.SILENT_CONNECTIONS, Kind.SLOW_PROVIDER, Kind.CALLS_SILENT
CHECKED = {"peer_check_after": 30.0}


def waiting(number: int, age: float = 412.0, **further: Any) -> list[RequestSnapshot]:
    """Requests that wait for the head of an answer."""
    return [a_request("awaiting_response", age, **further) for _ in range(number)]


def lost(number: int, age: float = 412.0, peer: str = "unacknowledged") -> list[RequestSnapshot]:
    """Requests whose peer has been silent since they were sent."""
    return waiting(number, age, peer=peer, peer_silence=age)


def now(requests: list[RequestSnapshot], **totals: Any) -> Any:
    """A snapshot after 1000 s with these requests, and a hundred before them."""
    waits = sum(request.phase_age for request in requests)
    each = {"awaiting_response": waits / 100}
    held = {"awaiting_response": len(requests)}
    the = the_totals(100, each=each, now=held, **totals)
    return a_snapshot(the, a_pool(requests, max_connections=200), uptime=1000.0, **CHECKED)


BEFORE = a_snapshot(the_totals(100), uptime=500.0, **CHECKED)


def test_lost_peer_is_no_slow_provider():
    """The finding has the time, and the slow-provider rules leave these requests out."""
    snapshot = now(lost(3))
    assert kinds(snapshot, BEFORE) == kinds(snapshot) == [SILENT]
    assert SLOW not in all_kinds(snapshot, BEFORE)
    finding = found(SILENT, snapshot, BEFORE)
    assert finding.severity is Severity.ERROR
    assert finding.observed == (
        "Of 3 silent requests checked: nobody at the other end for 412 s (3)."
    )


def test_unchecked_requests_beside_lost_ones_are_not_blamed_on_the_provider():
    """Only ten are checked. If one of their peers may be working, the others may as well."""
    assert kinds(now([*lost(10), *waiting(140, 200.0)]), BEFORE) == [SILENT]
    thinking = waiting(1, peer="unknown", peer_silence=40.0)
    assert set(kinds(now([*lost(9), *thinking, *waiting(140, 200.0)]), BEFORE)) == {SILENT, SLOW}


def test_each_state_is_named_with_its_number():
    peers = {"unreachable": 2, "closed": 1, "reset": 1, "not_reading": 1}
    requests = [request for peer, number in peers.items() for request in lost(number, 60.0, peer)]
    observed = found(SILENT, now([*requests, *waiting(1, peer="unknown")])).observed
    assert observed.startswith("Of 6 silent requests checked: ")
    for text in (
        "keepalive probes unanswered for 60 s (2)",
        "closed by the other end (1)",
        "reset or timed out (1)",
        "the other end takes no more data (1)",
    ):
        assert text in observed


@pytest.mark.parametrize("peer", ["unknown", None])
def test_silence_without_evidence_names_both_causes(peer):
    """The finding also has the longest silence that was answered, for comparison."""
    requests = waiting(3, 65.0, peer=peer)
    phases = {"phase_seconds": {"awaiting_response": 195.0}, "outcomes": ()}
    for answered, text in (({}, "none"), ({"longest_silence_answered": 31.0}, "31 s")):
        totals = the_totals(0, now={"awaiting_response": 3}, origin={**phases, **answered})
        snapshot = a_snapshot(totals, a_pool(requests), **CHECKED)
        assert kinds(snapshot) == [UNKNOWN]
        assert f"Longest wait that was answered: {text}." in found(UNKNOWN, snapshot).observed


def test_read_timeouts_of_lost_requests_are_not_the_providers():
    """The requests have ended. Without lost peers, the same timeouts mean a slow provider."""
    timeouts = {"read_timeout": 20}
    assert kinds(a_snapshot(the_totals(100, errors=timeouts))) == [SLOW]
    totals = the_totals(100, errors=timeouts, origin={"requests_lost_peer": 10})
    assert kinds(a_snapshot(totals)) == [SILENT]
    finding = found(SILENT, a_snapshot(totals))
    assert finding.severity is Severity.WARNING
    assert finding.observed.endswith("10 requests ended on a lost connection.")


def test_wait_of_lost_requests_that_ended_is_not_the_providers():
    """Compared with a baseline, the provider would seem to have become slower."""
    late = Outcome(
        count=10,
        error="read_timeout",
        sent=10,
        seconds=1000.0,
        held_seconds=1000.0,
        provider_seconds={"awaiting_response": 1000.0},
    )
    ends = {"outcomes": (Outcome(count=190, status=200), late), "timeouts": {"read": 10}}
    for lost_peers, expected in ((0, [SLOW]), (10, [SILENT])):
        origin = {**ends, "requests_lost_peer": lost_peers}
        after = the_totals(200, each={"awaiting_response": 5.0}, origin=origin)
        before = a_snapshot(the_totals(100), uptime=50.0)
        assert kinds(a_snapshot(after, uptime=150.0), before) == expected


def test_loss_before_the_period_is_no_finding_of_the_period():
    before = a_snapshot(the_totals(100, origin={"requests_lost_peer": 10}), uptime=50.0)
    after = a_snapshot(the_totals(150, origin={"requests_lost_peer": 10}))
    assert not diagnose(after, before)


def test_lost_connections_explain_a_full_pool():
    """A larger pool would fill up as well."""
    queued = [a_request("queued", 20.0, pool_timeout=600.0) for _ in range(5)]
    totals = the_totals(100, now={"awaiting_response": 10, "queued": 5}, peak_queued=5)
    full = a_snapshot(totals, a_pool([*lost(10), *queued]), uptime=1000.0, **CHECKED)
    assert kinds(full) == [SILENT]


@pytest.mark.parametrize(
    ("keepalive", "peer", "advised"),
    [
        (False, "unacknowledged", True),
        (True, "unacknowledged", False),
        (None, "unacknowledged", False),
        (False, "not_reading", False),
    ],
)
def test_advice_is_keepalive_where_it_is_off_and_helps(keepalive, peer, advised):
    """Probes keep a device on the path from forgetting an idle connection."""
    pool = a_pool(lost(3, peer=peer), tcp_keepalive=keepalive)
    advice = found(SILENT, a_snapshot(the_totals(), pool)).advice
    assert ("Switch SO_KEEPALIVE on" in advice) is advised
    assert ("pass it proxy=URL and all limits of the client" in advice) is advised


def test_text_of_a_request_names_its_lost_peer():
    """A request that may be answered has no such text."""
    text = str(a_snapshot(the_totals(), a_pool([*lost(1), *waiting(1, peer="unknown")])))
    assert text.count("awaiting_response for 412 s, nobody at the other end for 412 s") == 1
    assert "unknown" not in text
    assert ORIGIN in text


def test_snapshot_says_where_the_check_is_not_available():
    assert "not available here" in str(a_snapshot(peer_check_after=None))
    for after in (0.0, 30.0):
        assert "not available here" not in str(a_snapshot(peer_check_after=after))


@pytest.mark.parametrize(
    ("streams", "expected"),
    [
        # Bytes arrived a moment ago, the last item a minute and a half ago.
        ([a_request("reading", 0.5, item_wait=90.0, items_silent=True)] * 2, True),
        ([a_request("unread", 0.01, item_wait=90.0, items_silent=True)] * 2, True),
        # Neither bytes nor items: the provider, or the path.
        ([a_request("reading", 90.0, item_wait=90.0, items_silent=True)] * 2, False),
        # As long as such waits are usual; one stream.
        ([a_request("reading", 0.5, item_wait=50.0)] * 2, False),
        ([a_request("reading", 0.5, item_wait=90.0, items_silent=True)], False),
    ],
)
def test_streams_whose_bytes_bring_no_items(streams, expected):
    snapshot = a_snapshot(the_totals(100), a_pool(streams))
    assert (Kind.STALLED_STREAMS in kinds(snapshot)) is expected
    if expected:
        finding = found(Kind.STALLED_STREAMS, snapshot)
        assert finding.observed.startswith("2 streams without an item, the longest for 90 s")
        assert "Bytes arrive, but neither an item" in finding.explanation

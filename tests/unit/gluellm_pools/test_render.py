"""Drawn blocks fit, have the numbers, and contain no foreign markup or escapes."""

import io
from collections import Counter

import pytest
from rich.console import Console

from gluellm_pools.histogram import Histogram
from gluellm_pools.render import health_lines, row_block, view_lines
from gluellm_pools.view import CallKey, CallsView, PoolKey, PoolView, ShownFinding, View

BUSY = PoolView(
    providers=frozenset({"openai"}),
    active=3,
    idle=1,
    connecting=1,
    maximum=10,
    live=2,
    by_phase={"queued": 12, "connecting": 1, "reading": 3, "unread": 0},
    oldest={"queued": 1.25},
    opened=4,
    set_ups=4,
    seconds_by_phase={"queued": 7.5, "awaiting_response": 1.0, "reading": 1.5},
    timeouts={"pool": 3, "read": 0},
    requests=50,
    errors={"pool_timeout": 3, "connection_error": 2},
    failed=5,
    acquired=44,
    wait=Histogram((0.0, 1.0), (40, 7, 0), total=4.7),
)


def drawn(view: View, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    for key, pool in view.pools.items():
        console.print(row_block(key, pool, width, view.verdict(key)))
    console.print(*health_lines(view), sep="\n", markup=False)
    return console.file.getvalue()


def view_of(pool: PoolView, name: str = "openai", library: str = "httpx2") -> View:
    return View({PoolKey(name, library): pool})


def test_a_block_has_the_pools_numbers():
    """It has everything that the demo's story mentions."""
    text = drawn(view_of(BUSY), 120)
    for part in (
        "openai/httpx2",
        "provider openai",
        "live pools 2",
        "3 active, 1 idle, 1 connecting, max 10 in 2 pools",
        "12 queued, 1 connecting, 3 reading, oldest queued 1.2 s",
        "mean 0.10 s, p50 0 s, p95 ~0.",
        "queued 75%  reading 15%  awaiting_response 10%",
        "50 requests, 5 with errors; 4 connections opened, reused 40 times",
        "pool_timeout 3, connection_error 2",
    ):
        assert part in text
    assert "unread" not in text


def test_the_bar_is_as_long_as_the_maximum():
    """16 cells for 10 connections: 5 active, 2 connecting, 2 idle, the rest free."""
    assert f"{'█' * 5}{'▒' * 2}{'▓' * 2}{'·' * 7} 3 active" in drawn(view_of(BUSY))


def test_the_bar_has_the_phases_that_the_text_names():
    """Phases with a tiny share would take a whole cell, and legends have no room for all marks."""
    pool = PoolView(live=1, requests=1, seconds_by_phase={"connecting": 0.1, "reading": 9.9})
    assert f" time spent   {'░' * 16} reading 99%\n" in drawn(view_of(pool))


def test_missing_values_are_shown_as_missing_and_not_as_0():
    """No maximum, no wait, no pool, missing hooks and own failures."""
    text = drawn(view_of(PoolView(live=1)))
    for part in ("max none", "mean -, p50 -, p95 -, p99 -", "provider unknown"):
        assert part in text
    text = drawn(View({}, Counter(httpx=2, aiohttp=0), 3))
    assert "Missing hooks, listed in the program's log: httpx 2.\n" in text
    assert "failed or dropped records 3 times" in text


def test_the_largest_share_of_time_is_first():
    """The line is cut at its end in 80 columns."""
    phases = "queued connecting stream_queued awaiting_response".split()
    spent = {**dict.fromkeys(phases, 6), "unread": 76}
    lines = drawn(view_of(PoolView(live=1, requests=1, seconds_by_phase=spent))).splitlines()
    (line,) = [line for line in lines if "time spent" in line]
    assert " unread 76%  " in line


def test_verdict_is_first():
    """Both with and without a terminal. There is no line without a verdict."""
    view = view_of(PoolView(requests=1, live=1))
    view.findings[PoolKey("openai", "httpx2")] = [ShownFinding("error", "leak", "2 of 2 held")]
    assert drawn(view).splitlines()[1] == " verdict      error: leak: 2 of 2 held"
    (line,) = view_lines(view)
    assert line.startswith("openai/httpx2: verdict: error: leak: 2 of 2 held | connections")
    healthy = view_of(PoolView(requests=1, live=1))
    assert "verdict" not in drawn(healthy) + "".join(view_lines(healthy))


def test_escapes_and_markup_from_outside_stay_text():
    """Names come with the metrics, over the network."""
    pool = PoolView(
        providers=frozenset({"\x1b[2J[bold]p[/]"}), requests=1, errors={"a\x1b]0;b\x07": 1}, live=1
    )
    view = view_of(pool, "\x1b[31mn[red]", "l\r\n")
    for text in (drawn(view, 120), "\n".join(view_lines(view))):
        assert not any(ord(c) < 32 and c != "\n" for c in text)
        assert "n[red]" in text
    assert "[bold]p[/]" in drawn(view, 120)


def test_each_pool_with_requests_is_one_line():
    """This is the output without a terminal; unused pools have no line."""
    view = View({PoolKey("a", "httpx"): PoolView(live=1), PoolKey("b", "httpx2"): BUSY})
    (line,) = view_lines(view)
    assert line.startswith(
        "b/httpx2: connections: 3 active, 1 idle, 1 connecting, max 10 in 2 pools | req"
    )
    assert "queue wait: mean 0.10 s, p50 0 s" in line
    assert line.endswith("errors: pool_timeout 3, connection_error 2")


def test_leaks_and_streams_have_lines_where_they_are():
    """Pools without them keep their height."""
    pool = PoolView(requests=1, live=1, leaks_suspected=2, streams_active=1, streams_max=4)
    pool.streams_orphaned = 3
    view = view_of(pool)
    for text in (drawn(view, 100), "\n".join(view_lines(view))):
        assert "2 suspected" in text
        assert "1 streams active, 3 orphaned, max 4" in text


CHANNELS = PoolView(
    providers=frozenset({"gcp.vertex_ai"}),
    live=3,
    channels={"idle": 0, "ready": 2, "transient_failure": 1},
    by_phase={"queued": 1, "awaiting_response": 2},
    oldest={"queued": 0.5},
    seconds_by_phase={"connecting": 1.0, "awaiting_response": 9.0},
    timeouts={"read": 1},
    requests=30,
    failed=2,
    errors={"read_timeout": 1},
)


@pytest.mark.parametrize("width", [80, 100, 120])
def test_a_grpc_pool_has_channels_and_calls(width):
    """It reports no connections, so there are no numbers of them."""
    view = view_of(CHANNELS, "google", "grpc")
    (line,) = view_lines(view)
    block = drawn(view, width)
    assert max(map(len, block.splitlines())) <= width
    for text in (block, line):
        assert "ready 2, transient_failure 1" in text
        assert "1 queued, 2 awaiting_response" in text
        for unknown in ("active", " idle", "max", "opened", "reused", "connections", "p95"):
            assert unknown not in text
        assert "30 calls, 2 with errors" in text
        assert "oldest queued 0.50 s" in text
    assert "live channels 3" in block


def test_a_grpc_pool_with_calls_that_wait_or_whose_channels_are_gone():
    """Only calls with wait_for_ready have queue times. Counts stay without channels."""
    pool = PoolView(requests=1, live=1, channels={"ready": 1}, wait=Histogram((0.0, 1.0), (1, 0)))
    view = view_of(pool, "google", "grpc")
    for text in (drawn(view), *view_lines(view)):
        assert "p50 0 s" in text
    text = drawn(view_of(PoolView(requests=30, channels={"ready": 0}), "google", "grpc"))
    assert " channels     none\n" in text
    assert "30 calls, 0 with errors" in text


# Calls

CALLS = CallsView(
    by_stage=Counter(backoff=12, requesting=2, limited=0),
    oldest={"backoff": 8.2, "requesting": 75.0},
    silent=1,
    silence=75.0,
    seconds_by_stage=Counter(backoff=60.0, requesting=39.0, preparing=1.0),
    outcomes=Counter(succeeded=90, failed=4, cancelled=0),
    errors=Counter({"429": 3, "read_timeout": 1}),
    retries=31,
)
BLOCK = """\
calls to openai (gluellm)
 verdict      something
 silent       1; longest wait for the next item of a stream: 75 s
 calls now    2 requesting (oldest 75 s), 12 backoff (oldest 8.2 s)
 time spent   backoff 60%  requesting 39%
 ended        90 succeeded, 4 failed; retries 31
 errors       429 3, read_timeout 1"""


def test_a_block_of_calls_has_their_numbers():
    """Its labels are aligned with those of a pool."""
    assert row_block(CallKey("openai", "gluellm"), CALLS, 80, "something").plain == BLOCK
    idle = row_block(CallKey("openai", "gluellm"), CallsView(), 80).plain.splitlines()[1:]
    assert idle == [" calls now    none", " time spent   -", " ended        none"]


def test_lines_of_calls_come_before_those_of_pools():
    """A provider without calls has no line."""
    keys = [CallKey(name, "any_llm") for name in ("a\x1b", "b", "c")]
    calls = [CALLS, CallsView(outcomes=Counter(succeeded=1)), CallsView()]
    view = View({PoolKey("p", "httpx2"): BUSY}, calls=dict(zip(keys, calls, strict=True)))
    first, second, third = view_lines(view)
    assert first.startswith("calls to a? (any_llm): silent: 1; longest wait for the next item of")
    assert " | calls now: 2 requesting (oldest 75 s), 12 backoff (oldest 8.2 s) | time" in first
    assert second == "calls to b (any_llm): calls now: none | time spent: - | ended: 1 succeeded"
    assert third.startswith("p/httpx2: ")


def test_pool_of_no_known_provider_has_its_hosts():
    """An SDK can be set to a gateway."""
    key = PoolKey("openai", "httpx2")
    assert (
        "host gw.example, library"
        in row_block(key, PoolView(hosts=frozenset({"gw.example"})), 80).plain
    )
    both = PoolView(hosts=frozenset({"gw.example"}), providers=frozenset({"openai"}))
    assert "provider openai, library" in row_block(key, both, 80).plain

"""Calls that wait in GlueLLM's rate limiter."""

from dataclasses import replace

import pytest

from gluellm_diagnosis.findings import Kind
from opentelemetry.instrumentation.gluellm.snapshots.parts import CallsSnapshot
from opentelemetry.instrumentation.gluellm.snapshots.snapshot import Snapshot

from .building import a_pool, a_request, a_snapshot, all_kinds, found, the_calls, the_totals


def limited(
    provider: str | None = "openai",
    waiting: int = 20,
    longest: float = 9.0,
    passed: int = 0,
    seconds: float = 180.0,
) -> CallsSnapshot:
    """Calls that wait in the limiter, and attempts that have passed it."""
    usual = the_calls()
    return replace(
        usual,
        provider=provider,
        source="gluellm",
        now={**usual.now, "limited": waiting},
        oldest={**usual.oldest, "limited": longest},
        stage_seconds={**usual.stage_seconds, "limited": seconds},
        limited=passed,
    )


def crowded(
    *calls: CallsSnapshot, queued_now: int = 0, uptime: float = 100.0, library: str = "httpx"
) -> Snapshot:
    """A pool in which requests have queued for half of their time."""
    full = {"peak_active": 10, "peak_queued": 10}
    totals = the_totals(100, {"queued": 1.0}, library=library, **full)
    pool = a_pool([a_request("queued", 1.0)] * queued_now, library=library)
    process = {"gluellm": True, "calls_per_minute": 60, "calls": calls}
    return a_snapshot(totals, pool, uptime=uptime, **process)


@pytest.mark.parametrize("provider", ["openai", None, "gemini"])
def test_calls_in_the_limiter_are_not_blamed_on_the_pool(provider):
    """Calls of the pool's provider, of an unknown one, or of any through a gateway."""
    kinds = all_kinds(crowded(limited(provider)))
    assert Kind.GLUELLM_LIMITER in kinds
    assert Kind.POOL_TOO_SMALL not in kinds


@pytest.mark.parametrize(
    "snapshot",
    [
        crowded(),
        crowded(limited(), queued_now=3),
        crowded(limited(), library="httpx2"),
        crowded(limited(waiting=0, longest=0.0, passed=2, seconds=3.0)),
    ],
)
def test_small_pool_is_reported_beside_the_limiter(snapshot):
    """Calls in the limiter do not hide it."""
    assert Kind.POOL_TOO_SMALL in all_kinds(snapshot)


@pytest.mark.parametrize(
    ("changes", "fires"),
    [
        ({"waiting": 1, "longest": 1.0, "seconds": 1.0}, True),
        ({"waiting": 1, "longest": 0.9, "seconds": 0.9}, False),
        ({"waiting": 0, "longest": 0.0, "passed": 5, "seconds": 21.0}, True),
        ({"waiting": 0, "longest": 0.0, "passed": 5, "seconds": 20.0}, False),
        ({"waiting": 0, "longest": 0.0, "passed": 4, "seconds": 90.0}, False),
    ],
)
def test_limiter_is_reported_from_a_second_or_a_tenth_of_the_time(changes, fires):
    """A second of waiting now, or a tenth of the time of calls; 180.6 s went to requests."""
    snapshot = crowded(limited(**changes))
    assert (Kind.GLUELLM_LIMITER in all_kinds(snapshot)) is fires


def test_limiter_finding_names_its_setting():
    """It covers the interval only and describes what the pool does."""
    finding = found(Kind.GLUELLM_LIMITER, crowded(limited()))
    assert finding.pool == "openai/httpx"
    assert finding.observed == (
        "20 calls waiting in GlueLLM's rate limiter for openai, the longest for 9.0 s; of the "
        "time in the limiter and in requests, the limiter took 50%; the pool has 0 busy and 0 idle "
        "connections, and 0 requests queued."
    )
    assert "at most 60 calls a minute" in finding.explanation
    assert "The pool is idle: the calls have not reached it" in finding.explanation
    queued = found(Kind.GLUELLM_LIMITER, crowded(limited(), queued_now=3))
    assert "idle" not in queued.explanation
    assert "GLUELLM_RATE_LIMIT_REQUESTS_PER_MINUTE" in finding.advice
    over = limited(waiting=0, longest=0.0, passed=20)
    before = crowded(over, uptime=50.0)
    assert Kind.GLUELLM_LIMITER in all_kinds(before)
    assert Kind.GLUELLM_LIMITER not in all_kinds(crowded(over), before)

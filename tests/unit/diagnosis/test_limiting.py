"""Calls that wait in GlueLLM's rate limiter."""

from __future__ import annotations

from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.diagnosis.findings import Kind
from opentelemetry.instrumentation.gluellm.diagnosis.parts import LimiterSnapshot
from opentelemetry.instrumentation.gluellm.diagnosis.snapshot import Snapshot
from unit.diagnosis.building import a_pool, a_request, a_snapshot, all_kinds, found, the_totals


def a_limiter(provider: str | None = "openai", **changes: Any) -> LimiterSnapshot:
    waits = {"waiting": 20, "longest": 9.0, "waited": 20, "seconds": 180.0, "calls_per_minute": 60}
    return LimiterSnapshot(provider=provider, **{**waits, **changes})


def crowded(
    *limiters: LimiterSnapshot, queued_now: int = 0, uptime: float = 100.0, library: str = "httpx"
) -> Snapshot:
    """A pool in which requests have queued for half of their time."""
    full = {"peak_active": 10, "peak_queued": 10}
    totals = the_totals(100, {"queued": 1.0}, library=library, **full)
    pool = a_pool([a_request("queued", 1.0)] * queued_now, library=library)
    return a_snapshot(totals, pool, gluellm=True, limiters=limiters, uptime=uptime)


@pytest.mark.parametrize("provider", ["openai", None, "gemini"])
def test_calls_in_the_limiter_are_not_blamed_on_the_pool(provider: str | None) -> None:
    """Calls of the pool's provider, of an unknown one, or of any through a gateway."""
    kinds = all_kinds(crowded(a_limiter(provider)))
    assert Kind.GLUELLM_LIMITER in kinds
    assert Kind.POOL_TOO_SMALL not in kinds


@pytest.mark.parametrize(
    "snapshot",
    [
        crowded(),
        crowded(a_limiter(), queued_now=3),
        crowded(a_limiter(), library="httpx2"),
        crowded(a_limiter(waiting=0, longest=0.0, waited=2, seconds=3.0)),
    ],
)
def test_small_pool_is_reported_beside_the_limiter(snapshot: Snapshot) -> None:
    """It is, whatever waits before it."""
    assert Kind.POOL_TOO_SMALL in all_kinds(snapshot)


@pytest.mark.parametrize(
    ("changes", "fires"),
    [
        ({"waiting": 1, "longest": 1.0, "waited": 1, "seconds": 1.0}, True),
        ({"waiting": 1, "longest": 0.9, "waited": 1, "seconds": 0.9}, False),
        ({"waiting": 0, "longest": 0.0, "waited": 5, "seconds": 21.0}, True),
        ({"waiting": 0, "longest": 0.0, "waited": 5, "seconds": 20.0}, False),
        ({"waiting": 0, "longest": 0.0, "waited": 4, "seconds": 90.0}, False),
    ],
)
def test_limiter_is_reported_from_a_second_or_a_tenth_of_the_time(
    changes: dict[str, Any], *, fires: bool
) -> None:
    """A second of waiting now, or a tenth of the time of calls; 180.6 s went to requests."""
    snapshot = crowded(a_limiter(**changes))
    assert (Kind.GLUELLM_LIMITER in all_kinds(snapshot)) is fires


def test_limiter_finding_names_its_setting() -> None:
    """It covers the interval only and describes what the pool does."""
    finding = found(Kind.GLUELLM_LIMITER, crowded(a_limiter()))
    assert finding.pool == "openai/httpx"
    assert finding.observed == (
        "20 calls waiting in GlueLLM's rate limiter for openai, the longest for 9.0 s; this wait "
        "was 50% of the total time of calls and requests; the pool has 0 busy and 0 idle "
        "connections, and 0 requests queued."
    )
    assert "at most 60 calls a minute" in finding.explanation
    assert "The pool is idle: the calls have not reached it" in finding.explanation
    queued = found(Kind.GLUELLM_LIMITER, crowded(a_limiter(), queued_now=3))
    assert "idle" not in queued.explanation
    assert "GLUELLM_RATE_LIMIT_REQUESTS_PER_MINUTE" in finding.advice
    over = a_limiter(waiting=0, longest=0.0)
    before = crowded(over, uptime=50.0)
    assert Kind.GLUELLM_LIMITER in all_kinds(before)
    assert Kind.GLUELLM_LIMITER not in all_kinds(crowded(over), before)

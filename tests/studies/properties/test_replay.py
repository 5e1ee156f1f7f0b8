"""Compares replays of random requests with a model of the pool that served them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unit.gluellm_diagnosis.test_replay import recording


def served(arrivals: list[int], holds: list[int], size: int) -> list[tuple[int, int, int]]:
    """A model of a pool, tick by tick: requests end, then the queue is served from its head."""
    busy: list[int] = []
    queue: list[tuple[int, int]] = []
    found: list[tuple[int, int, int]] = []
    now = 0
    while len(found) < len(arrivals):
        busy = [end for end in busy if end > now]
        queue += [(a, h) for a, h in zip(arrivals, holds, strict=True) if a == now]
        while queue and len(busy) < size:
            arrival, hold = queue.pop(0)
            busy.append(now + hold)
            found.append((arrival, now - arrival, hold))
        now += 1
    return found


@settings(max_examples=60, deadline=None)
@given(data=st.data(), size=st.integers(1, 6), other=st.integers(1, 12))
def test_replay_is_what_a_pool_of_that_size_does(data: Any, size: int, other: int) -> None:
    """At the recorded size the waits are as recorded; at another, as in a pool of that size."""
    number = 60
    gaps = data.draw(st.lists(st.integers(0, 4), min_size=number, max_size=number))
    holds = data.draw(st.lists(st.integers(1, 12), min_size=number, max_size=number))
    arrivals = [sum(gaps[: i + 1]) for i in range(number)]
    times = served(arrivals, holds, size)
    found = recording([(float(a), float(w), float(h)) for a, w, h in times], pool_timeout=None)
    if found.callers:
        return
    replayed = found.replay(size)
    for name in ("p50", "p95", "p99", "longest", "waited"):
        assert getattr(replayed, name) == pytest.approx(getattr(found.recorded, name), abs=0.01)
    waits = sorted(wait for _, wait, _ in served(arrivals, holds, other))
    assert found.replay(other).longest == pytest.approx(waits[-1], abs=0.01)
    assert found.replay(other).p50 == pytest.approx(waits[number // 2 - 1], abs=0.01)

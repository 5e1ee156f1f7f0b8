"""What has to hold whatever became of requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from .exchange import Exchange
from .rows import Row
from .telemetry import Reading, Telemetry
from .waiting import LATENESS, wait_until

SLACK = 0.09
"""Seconds that a thread or task may come late on an idle machine."""


def _as_a_channel_tells(row: Row) -> Row:
    """gRPC tells of no connection, of no HTTP status, and of an acquire only where that was asked
    for."""
    return replace(row, acquire_known=row.waited_for_ready, created=False, status=None)


def assert_rows(telemetry: Reading, *rows: Row, closed: Mapping[str, int] | None = None) -> None:
    """The metrics hold these requests' values, nothing else, and no request in flight.

    ``closed`` are the connections that were closed, by reason.
    """
    told = telemetry.now() if isinstance(telemetry, Telemetry) else telemetry
    if "grpc" in told.by(semconv.REQUESTS, "library"):
        rows = tuple(_as_a_channel_tells(row) for row in rows)
    expected = {
        "acquire": Counter(row.acquire for row in rows if row.acquire_known),
        "create": Counter(row.create for row in rows if row.created),
        "lease": sum(row.lease for row in rows),
        "requests": Counter((row.status, row.error) for row in rows if row.left),
        "timeouts": Counter(row.timeout for row in rows if row.timeout),
    }
    reported = {
        "acquire": told.by(semconv.ACQUIRE_DURATION, "error"),
        "create": told.by(semconv.CONNECTION_CREATE_DURATION, "error"),
        "lease": told.count(semconv.LEASE_DURATION),
        "requests": told.requests(),
        "timeouts": told.by(semconv.TIMEOUTS, "kind"),
    }
    assert reported == expected, f"reported {reported}, expected {expected}"
    if closed is not None:
        assert told.closed() == closed, f"closed: reported {told.closed()}, expected {closed}"
    told.check(ACTIVE_REQUESTS=0, INSTRUMENTATION_ERRORS=0, INSTRUMENTATION_DROPPED=0)


def assert_settled(
    telemetry: Telemetry,
    exchanges: Iterable[Exchange],
    *rows: Row,
    closed: Mapping[str, int] | None = None,
) -> None:
    """These requests are over: their rows, no request left, and phases that sum to the whole.

    The whole is measured twice over: by the client, right around the library's calls, and by the
    histograms of acquire and lease.
    """
    exchanges = list(exchanges)
    assert len(exchanges) == len(rows)
    for exchange in exchanges:
        exchange.wait()
    wait_until(lambda: not telemetry.value(semconv.ACTIVE_REQUESTS), "no active request")
    told = telemetry.now()
    assert_rows(told, *rows, closed=closed)
    assert all(told.current(phase) == 0 for phase in semconv.PHASES)
    phases = told.phases()
    whole = sum(phases.values())
    assert all(seconds >= 0 for seconds in phases.values()), phases
    assert_near(whole, sum(exchange.duration for exchange in exchanges), slack=len(rows) * SLACK)
    acquired, leased = told.total(semconv.ACQUIRE_DURATION), told.total(semconv.LEASE_DURATION)
    # An immediate acquire is exactly 0, though the pool took some microseconds to make it, and some
    # milliseconds where another thread had the interpreter meanwhile.
    parts = f"phases {phases}, acquire {acquired}, lease {leased}"
    assert whole == pytest.approx(acquired + leased, abs=LATENESS.beside(0.02 * len(rows))), parts


def assert_near(seconds: float, expected: float, *, slack: float = SLACK) -> None:
    """A time is what the schedule says, give or take how late threads came during the test."""
    allowed = LATENESS.beside(slack)
    assert seconds == pytest.approx(expected, abs=allowed), f"{seconds} s, not {expected} s"


def assert_phases(
    telemetry: Reading, *, since: dict[str, float] | None = None, **expected: float
) -> None:
    """Seconds by phase, ``since`` earlier ones. A phase that is not named took next to none.

    A busy machine adds time to any phase, and takes none from those that the schedule holds.
    """
    told = telemetry.phases()
    if since is not None:
        told = {phase: seconds - since[phase] for phase, seconds in told.items()}
    late = LATENESS.beside(SLACK)
    added = max(late, sum(told.values()) - sum(expected.values()))
    for phase, seconds in told.items():
        scheduled = expected.pop(phase, 0.0)
        assert scheduled - late <= seconds <= scheduled + added, (phase, told)
    assert not expected

"""Assertions that hold for requests of every outcome."""

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
"""Allowed lateness of a thread or task on an idle machine, in seconds."""


def _as_a_channel_reports(row: Row) -> Row:
    """The row for gRPC: no connection, no HTTP status, and an acquire only with wait_for_ready."""
    return replace(row, acquire_known=row.waited_for_ready, created=False, status=None)


def assert_rows(telemetry: Reading, *rows: Row, closed: Mapping[str, int] | None = None) -> None:
    """Assert that the metrics have these requests' values and no others, and none in flight.

    ``closed`` is the number of closed connections by reason.
    """
    if isinstance(telemetry, Telemetry):
        telemetry = telemetry.now()
    if "grpc" in telemetry.by(semconv.REQUESTS, "library"):
        rows = tuple(_as_a_channel_reports(row) for row in rows)
    expected = {
        "acquire": Counter(row.acquire for row in rows if row.acquire_known),
        "create": Counter(row.create for row in rows if row.created),
        "lease": sum(row.lease for row in rows),
        "requests": Counter((row.status, row.error) for row in rows if row.left),
        "timeouts": Counter(row.timeout for row in rows if row.timeout),
    }
    reported = {
        "acquire": telemetry.by(semconv.ACQUIRE_DURATION, "error"),
        "create": telemetry.by(semconv.CONNECTION_CREATE_DURATION, "error"),
        "lease": telemetry.count(semconv.LEASE_DURATION),
        "requests": telemetry.requests(),
        "timeouts": telemetry.by(semconv.TIMEOUTS, "kind"),
    }
    assert reported == expected, f"reported {reported}, expected {expected}"
    if closed is not None:
        assert telemetry.closed() == closed, (
            f"closed: reported {telemetry.closed()}, expected {closed}"
        )
    telemetry.check(ACTIVE_REQUESTS=0, INSTRUMENTATION_ERRORS=0, INSTRUMENTATION_DROPPED=0)


def assert_settled(
    telemetry: Telemetry,
    exchanges: Iterable[Exchange],
    *rows: Row,
    closed: Mapping[str, int] | None = None,
) -> None:
    """Assert that these requests have ended, with their rows, and that phases sum to their time.

    That time is measured twice: by the client, around the library's calls, and by the histograms of
    acquire and lease.
    """
    exchanges = list(exchanges)
    assert len(exchanges) == len(rows)
    for exchange in exchanges:
        exchange.wait()
    wait_until(lambda: not telemetry.value(semconv.ACTIVE_REQUESTS), "no active request")
    reported = telemetry.now()
    assert_rows(reported, *rows, closed=closed)
    assert all(reported.current(phase) == 0 for phase in semconv.PHASES)
    phases = reported.phases()
    whole = sum(phases.values())
    assert all(seconds >= 0 for seconds in phases.values()), phases
    assert_near(whole, sum(exchange.duration for exchange in exchanges), slack=len(rows) * SLACK)
    acquired = reported.total(semconv.ACQUIRE_DURATION)
    leased = reported.total(semconv.LEASE_DURATION)
    # An immediate acquire is exactly 0, although the pool takes some microseconds for it, or some
    # milliseconds if another thread has the interpreter.
    parts = f"phases {phases}, acquire {acquired}, lease {leased}"
    assert whole == pytest.approx(acquired + leased, abs=LATENESS.beside(0.02 * len(rows))), parts


def assert_near(seconds: float, expected: float, *, slack: float = SLACK) -> None:
    """Assert that a time is as scheduled, allowing for the lateness of threads during the test."""
    allowed = LATENESS.beside(slack)
    assert seconds == pytest.approx(expected, abs=allowed), f"{seconds} s, not {expected} s"


def assert_phases(
    telemetry: Reading, *, since: dict[str, float] | None = None, **expected: float
) -> None:
    """Assert the seconds by phase, ``since`` earlier ones; about 0 for phases that are not named.

    A busy machine can add time to any phase; it cannot shorten a scheduled one.
    """
    reported = telemetry.phases()
    if since is not None:
        reported = {phase: seconds - since[phase] for phase, seconds in reported.items()}
    late = LATENESS.beside(SLACK)
    added = max(late, sum(reported.values()) - sum(expected.values()))
    for phase, seconds in reported.items():
        scheduled = expected.pop(phase, 0.0)
        assert scheduled - late <= seconds <= scheduled + added, (phase, reported)
    assert not expected

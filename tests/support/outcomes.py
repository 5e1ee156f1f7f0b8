"""The rows of the telemetry contract's outcome table, and what has to hold whatever happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from .exchange import Exchange
from .telemetry import Telemetry
from .waiting import wait_until

SLACK = 0.09
"""Seconds that a thread or task may come late on a busy machine."""

OK = None
"""The error type of what went well: none."""


_TOLD_BY_CREATE = {"connect_timeout", "secure_connection_error", "cancelled"}
"""Error types that the create histogram tells apart; all others are a connection_error there."""


@dataclass(frozen=True, slots=True)
class Row:
    """Which metrics got a value for one request, with which ``error.type`` or status."""

    acquire: str | None = OK
    created: bool = False
    create: str | None = OK
    lease: bool = True
    status: int | None = None
    error: str | None = OK
    timeout: str | None = None
    left: bool = True
    """Whether it was seen to leave the pool."""
    waited_for_ready: bool = False
    """Whether a gRPC call asked to wait for its channel to be ready."""
    acquire_known: bool = True


def reused(status: int = 200) -> Row:
    """Served on a reused connection, or one that another request set up."""
    return Row(status=status)


def new(status: int = 200) -> Row:
    """Served on a new connection."""
    return Row(created=True, status=status)


def pool_timeout() -> Row:
    """No connection in time."""
    return Row(acquire="pool_timeout", lease=False, error="pool_timeout", timeout="pool")


def cancelled_in_queue() -> Row:
    """Cancelled while queued."""
    return Row(acquire="cancelled", lease=False, error="cancelled")


def connect_failed(error: str) -> Row:
    """Its connection could not be established."""
    create = error if error in _TOLD_BY_CREATE else "connection_error"
    return Row(created=True, create=create, error=error, timeout=_timeout(error))


def failed(error: str, *, created: bool = True, status: int | None = None) -> Row:
    """Reading or writing failed, timed out or was cancelled; with the status, if a head came."""
    return Row(created=created, error=error, status=status, timeout=_timeout(error))


def waited_for_ready(row: Row) -> Row:
    """The same for a gRPC call that asked to wait for its channel: its acquire is known."""
    return replace(row, waited_for_ready=True)


def _as_a_channel_tells(row: Row) -> Row:
    """gRPC tells of no connection, of no HTTP status, and of an acquire only where that was asked
    for."""
    return replace(row, acquire_known=row.waited_for_ready, created=False, status=None)


def _timeout(error: str) -> str | None:
    return error.removesuffix("_timeout") if error.endswith("_timeout") else None


@dataclass(slots=True)
class _Totals:
    acquire: Counter[Any] = field(default_factory=Counter)
    create: Counter[Any] = field(default_factory=Counter)
    lease: int = 0
    requests: Counter[Any] = field(default_factory=Counter)
    timeouts: Counter[Any] = field(default_factory=Counter)


def assert_rows(telemetry: Telemetry, *rows: Row) -> None:
    """The metrics hold these requests' values, and nothing else."""
    if "grpc" in telemetry.by(semconv.REQUESTS, "library"):
        rows = tuple(_as_a_channel_tells(row) for row in rows)
    expected = _Totals()
    for row in rows:
        expected.acquire[row.acquire] += row.acquire_known
        expected.create[row.create] += row.created
        expected.lease += row.lease
        expected.requests[row.status, row.error] += row.left
        expected.timeouts[row.timeout] += row.timeout is not None
    told = _Totals(
        Counter(telemetry.by(semconv.ACQUIRE_DURATION, "error")),
        Counter(telemetry.by(semconv.CONNECTION_CREATE_DURATION, "error")),
        telemetry.count(semconv.LEASE_DURATION),
        Counter(telemetry.by(semconv.REQUESTS, "status", "error")),
        Counter(telemetry.by(semconv.TIMEOUTS, "kind")),
    )
    for name in ("acquire", "create", "requests", "timeouts"):
        got, wanted = dict(getattr(told, name)), dict(+getattr(expected, name))
        assert got == wanted, f"{name}: told {got}, expected {wanted}"
    assert told.lease == expected.lease, "lease"


def assert_settled(telemetry: Telemetry, exchanges: Iterable[Exchange], *rows: Row) -> None:
    """These requests are over: their rows, no request left, and phases that sum to the whole.

    The whole is measured twice over: by the client, right around the library's calls, and by the
    histograms of acquire and lease.
    """
    exchanges = list(exchanges)
    assert len(exchanges) == len(rows)
    for exchange in exchanges:
        exchange.wait()
    wait_until(lambda: not telemetry.value(semconv.ACTIVE_REQUESTS), "no active request")
    assert_rows(telemetry, *rows)
    assert all(telemetry.current(phase) == 0 for phase in semconv.PHASES)
    phases = telemetry.phases()
    whole = sum(phases.values())
    assert all(seconds >= 0 for seconds in phases.values()), phases
    assert_near(whole, sum(exchange.duration for exchange in exchanges), slack=len(rows) * SLACK)
    acquired = telemetry.total(semconv.ACQUIRE_DURATION)
    leased = telemetry.total(semconv.LEASE_DURATION)
    # An immediate acquire is exactly 0, though the pool took some microseconds to make it, and some
    # milliseconds where another thread had the interpreter meanwhile.
    parts = f"phases {phases}, acquire {acquired}, lease {leased}"
    assert whole == pytest.approx(acquired + leased, abs=0.02 * len(rows)), parts
    assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) == 0
    assert telemetry.value(semconv.INSTRUMENTATION_DROPPED) == 0


def assert_near(seconds: float, expected: float, *, slack: float = SLACK) -> None:
    """A time is what the schedule says, give or take the scheduler's lateness."""
    assert seconds == pytest.approx(expected, abs=slack)


def assert_phases(telemetry: Telemetry, **expected: float) -> None:
    """Seconds by phase. A phase that is not named took next to none."""
    told = telemetry.phases()
    for phase, seconds in told.items():
        assert seconds == pytest.approx(expected.pop(phase, 0.0), abs=SLACK), (phase, told)
    assert not expected

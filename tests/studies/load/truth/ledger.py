"""The outcome table kept by hand, from what clients saw, and compared with what was reported."""

from __future__ import annotations

from collections import Counter

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from studies.load.choices import Choices
from studies.load.collection import Collection

from .endings import OK, Row

_ERRORS_OF_CREATE = {"connect_timeout", "secure_connection_error", "cancelled"}
"""Error types that the create histogram tells apart; all others are a connection_error there."""


class Ledger:
    """What the metrics have to hold of all requests that have ended so far."""

    def __init__(self) -> None:
        self.requests = 0
        self.acquire, self.outcomes, self.timeouts = Choices(), Choices(), Choices()
        self.failed_set_ups = Choices()
        self.cut_set_ups = 0
        """Set-ups that a client gave up at a moment at which its server may have been done."""

    def add(self, row: Row, *, may_be_established: bool) -> None:
        """A request that has ended."""
        self.requests += 1
        self.cut_set_ups += may_be_established and len(row.failed_set_up | {None}) > 1
        self.acquire.add(row.acquire)
        self.outcomes.add(row.requests)
        self.timeouts.add(row.timeouts)
        as_told = frozenset(
            error if error is None or error in _ERRORS_OF_CREATE else "connection_error"
            for error in row.failed_set_up
        )
        self.failed_set_ups.add(as_told)

    def differences(self, reported: Collection, established: int, held: int) -> list[str]:
        """In what the metrics differ, in words.

        ``established`` are the connections that the servers saw, ``held`` the requests that were
        answered and will end with their pool: their acquires are reported, their leases are not.
        """
        found = []
        by_error = reported.by(semconv.ACQUIRE_DURATION, "error")
        acquire = Counter({error or OK: count for error, count in by_error.items()})
        acquire[OK] -= held
        create = reported.by(semconv.CONNECTION_CREATE_DURATION, "error")
        set_ups = create.pop(None, 0)
        compared = (
            ("acquire", self.acquire, acquire),
            ("requests", self.outcomes, reported.by(semconv.REQUESTS, "status", "error")),
            ("timeouts", self.timeouts, reported.by(semconv.TIMEOUTS, "kind")),
            ("create, failed", self.failed_set_ups, create),
        )
        for name, choices, values in compared:
            difference = choices.difference(values)
            if difference:
                found.append(
                    f"{name}: reported beside the truth {dict(difference)}, reported {dict(values)}"
                )
        leases = reported.total(semconv.LEASE_DURATION)
        if leases != acquire[OK]:
            found.append(f"lease: {leases:g} reported, {acquire[OK]} acquired a connection")
        opened = reported.total(semconv.CONNECTION_OPENED)
        for what, number in (("create, well", set_ups), ("opened", opened)):
            if not established - self.cut_set_ups <= number <= established:
                found.append(f"{what}: {number:g} reported, the servers saw {established}")
        if not found:
            for _, choices, values in compared:
                choices.settle(values)
        return found

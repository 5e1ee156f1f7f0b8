"""Text about a pool and the holders of its connections, for logs and error messages."""

from __future__ import annotations

from ..concurrency import snapshot_of
from ..text import call_site_text, one_line, seconds
from ..vocabulary import PHASES, QUEUED, STREAM_QUEUED
from .durations import in_seconds
from .lease import Lease, Tracker, read_states

HOLDERS = 3
LONGEST = 200
"""Longest text from outside that goes into a log or an error message, in characters."""


def label(tracker: Tracker) -> str:
    """Format the name and the library of a pool."""
    ledger = tracker.ledger
    return f"{one_line(ledger.name, LONGEST)}/{ledger.library}"


def duration_text(duration: int) -> str:
    """Format nanoseconds as seconds."""
    return seconds(in_seconds(duration))


def trace_id(lease: Lease) -> str | None:
    """Return a lease's trace id as 32 hexadecimal digits; None if it has none."""
    number = getattr(lease.observed, "trace_id", 0)
    return f"{number:032x}" if number else None


def state(tracker: Tracker) -> str:
    """Describe the limit and counts of a pool, as far as they can be read now."""
    view = tracker.view()
    waits = [lease.wait for lease in snapshot_of(tracker.leases.keys)]
    queued = sum(1 for wait in waits if wait is not None and wait.in_queue)
    return f"queued {queued}" if view is None else f"{view}, queued {queued}"


def whose(lease: Lease) -> str:
    """Describe a request's provider, model, trace and call site, as far as they are known."""
    call = lease.call
    provider = call.provider if call is not None else lease.origin.provider
    parts = []
    if provider is not None:
        parts.append(f"provider {one_line(provider, LONGEST)}")
    if call is not None and call.model is not None:
        parts.append(f"model {one_line(call.model, LONGEST)}")
    trace = trace_id(lease)
    if trace is not None:
        parts.append(f"trace {trace}")
    if call is not None and call.correlation_id is not None:
        parts.append(f"correlation id {one_line(call.correlation_id, LONGEST)}")
    if lease.call_site is not None:
        parts.append(f"at {call_site_text(str(lease.call_site), LONGEST)}")
    return ", ".join(parts) or "caller unknown"


def holders(tracker: Tracker, now: int) -> str:
    """Describe the longest-held leases of a pool."""
    leases = list(read_states(tracker.leases))
    held = [
        (acquired_at, lease)
        for lease, (_, phase, _, acquired_at) in leases
        if acquired_at and phase not in (QUEUED, STREAM_QUEUED) and lease.has_connection
    ]
    held.sort(key=lambda entry: entry[0])
    if not held:
        assigned = any(lease.has_connection for lease, _ in leases)
        return (
            "connections are assigned, but not in use yet" if assigned else "no connection is held"
        )
    recorded = [
        f"({number}) {duration_text(now - acquired_at)}, {PHASES[lease.phase]} for "
        f"{duration_text(max(now - lease.phase_since, 0))}, {whose(lease)}"
        for number, (acquired_at, lease) in enumerate(held[:HOLDERS], 1)
    ]
    return "longest holders: " + "; ".join(recorded)

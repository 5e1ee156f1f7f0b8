"""Note that explains a PoolTimeout."""

from __future__ import annotations

import time

from ..pool.describe import duration_text, holders, label, state
from ..pool.durations import in_seconds
from ..pool.lease import Lease
from ..pool.observer import PoolObserver

_BEGINNING = "Connection pool "


class NoteObserver(PoolObserver):
    """Observer that adds one note to a pool timeout: the pool's state and its longest holders.

    The note goes on the library's own exception. The SDKs raise theirs from it, so a traceback that
    shows the cause shows the note. Type, message and cause of the exception do not change.
    """

    def lease_timed_out(self, lease: Lease, error: BaseException) -> None:
        if any(note.startswith(_BEGINNING) for note in getattr(error, "__notes__", ())):
            return  # nested transports: the inner pool has added its note
        tracker = lease.tracker
        now = tracker.clock()
        began = lease.entered_at if lease.wait is None else lease.wait.since
        error.add_note(
            f"{_BEGINNING}{label(tracker)}: {state(tracker)}. This request{_attempt(lease)} waited "
            f"{duration_text(now - began)}, from {_clock(now - began)} to {_clock(0)}; "
            f"{holders(tracker, now)}."
        )


def _attempt(lease: Lease) -> str:
    # The SDKs retry by themselves, so the application has waited longer than this request.
    number = 1 if lease.call is None else lease.call.requests
    return f", number {number} of its call," if number > 1 else ""


def _clock(ago: int) -> str:
    # UTC, so that log lines of several machines can be compared.
    epoch = time.time() - in_seconds(ago)
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(epoch))
    return f"{whole}.{int(epoch % 1 * 1000):03d}Z"

"""A PoolTimeout that explains itself."""

from __future__ import annotations

import time

from ..pool.describe import holders, label, seconds, state
from ..pool.lease import Lease
from ..pool.observer import PoolObserver

_BEGINNING = "Connection pool "


class NoteObserver(PoolObserver):
    """Adds one note to a pool timeout: what the pool looked like, and who held it.

    The note is on the library's own exception. The SDKs raise theirs from it, so that a traceback
    shows the note wherever it shows the cause. Type, message and cause stay as they are.
    """

    def lease_timed_out(self, lease: Lease, error: BaseException) -> None:
        if any(note.startswith(_BEGINNING) for note in getattr(error, "__notes__", ())):
            return  # a transport over a transport: the inner pool has explained it
        tracker = lease.tracker
        now = tracker.clock()
        began = lease.waits_since or lease.entered_at
        error.add_note(
            f"{_BEGINNING}{label(tracker)}: {state(tracker)}. This request{_attempt(lease)} waited "
            f"{seconds(now - began)}, from {_clock(now - began)} to {_clock(0)}; "
            f"{holders(tracker, now)}."
        )


def _attempt(lease: Lease) -> str:
    # The SDKs try again by themselves, so the application has waited for longer than this.
    return f", number {lease.call.requests} of its call," if lease.resend and lease.call else ""


def _clock(ago: int) -> str:
    # UTC, as log lines of several machines are compared.
    epoch = time.time() - ago / 1e9
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(epoch))
    return f"{whole}.{int(epoch % 1 * 1000):03d}Z"

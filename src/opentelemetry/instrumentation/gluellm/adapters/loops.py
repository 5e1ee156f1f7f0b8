"""A client on a second event loop, found when one of its requests fails.

A connection belongs to the event loop in which it was established, and a request in another loop
that gets it fails with a RuntimeError. The loop is noted for each connection and compared for each
failure, so other requests cost nothing.
"""

from __future__ import annotations

from ..concurrency import snapshot_of
from ..pool.call_site import CallSite
from ..pool.lease import TrackedConnection, Tracker
from ..pool.registry import NOWHERE, running_loop
from .error_types import causes_of

_MOST_LOOPS = 8


def note_loop(connection: TrackedConnection) -> None:
    """Note the running loop for a connection of an async pool that was established just now."""
    loop, known = running_loop(), connection.tracker.loops
    if loop is not NOWHERE and loop not in known and len(known) < _MOST_LOOPS:
        lease = connection.first_lease
        known[loop] = lease.call_site if lease is not None else None


def check_loop(tracker: Tracker, error: BaseException, call_site: CallSite | None) -> None:
    """Report a client on a second loop if that is why a request failed with ``error``.

    ``call_site`` is the request's.
    """
    if type(error) is not RuntimeError or not tracker.loops:
        return
    # A coroutine that the garbage collector closes, in whichever loop is running then. If it awaits
    # meanwhile, CPython raises "coroutine ignored GeneratorExit", without a cause.
    closing = any(isinstance(cause, GeneratorExit) for cause in causes_of(error))
    if closing or "GeneratorExit" in str(error):
        return
    here = running_loop()
    others = [site for loop, site in snapshot_of(tracker.loops.items) if loop is not here]
    if others and here is not NOWHERE:
        tracker.used_in_second_loop((others[0], call_site))

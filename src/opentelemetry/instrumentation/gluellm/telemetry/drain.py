"""Record the outbox in the SDK, at each collection or when a request finds it half full."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context

from opentelemetry import trace

from ..concurrency import acquire
from ..failures import Failures
from ..pool.call import CountedCall
from ..pool.lease import Lease
from ..pool.outbox import Outbox

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

_AT_ENTRY = 64
_BEFORE_YIELD = 50
_LOCK_TIMEOUT = 1.0
_METRICS = "opentelemetry.sdk.metrics"

# The SDK treats an empty Context as missing and would use the current one of the draining thread.
NO_SPAN = trace.set_span_in_context(trace.INVALID_SPAN, Context())


def bare_context(span_context: SpanContext | None) -> Context:
    """Return a context that contains only a span context.

    2 000 contexts of a user held 147 MB; bare ones held 1.6 MB.
    """
    if span_context is None or not span_context.is_valid:
        return NO_SPAN
    # The same as set_span_in_context(), without its copies.
    return Context(dict.fromkeys(NO_SPAN, trace.NonRecordingSpan(span_context)))


def record(histogram: Any, value: float, attributes: dict[str, Any], example: Any) -> None:
    """Record one value, with the span context ``example`` (or none) for the exemplar."""
    histogram.record(value, attributes, context=bare_context(example))


def _in_metrics_sdk() -> bool:
    """Return whether this thread is already running the SDK's metrics code.

    This is the case if a signal handler or a finalizer sends a request during a collection. The
    SDK's locks are not reentrant, so a record would deadlock.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(_METRICS):
            return True
        frame = frame.f_back
    return False


class Drain:
    """Recorder of the outbox's items. One thread drains at a time; a finalizer never does."""

    def __init__(
        self,
        outbox: Outbox,
        record_lease: Callable[[Lease], None],
        failures: Failures,
        record_call: Callable[[CountedCall], None],
    ) -> None:
        self._outbox = outbox
        self._record_lease = record_lease
        self._record_call = record_call
        self._failures = failures
        self._held_for_fork_by: int | None = None
        """Identity of the thread that holds the lock while it forks. Two threads may fork at
        once."""
        self._lock = threading.Lock()

    def some(self) -> None:
        """Record a few items, unless another thread is draining or recording would deadlock."""
        if not _in_metrics_sdk():
            self._record(_AT_ENTRY, 0)

    def all(self) -> None:
        """Record the items that are in the outbox now. Later ones are left for the next drain."""
        self._record(len(self._outbox.items), _LOCK_TIMEOUT)

    def _record(self, most: int, timeout: float) -> None:
        # Release the lock that was acquired: a signal handler may fork, and the child replaces it.
        lock = self._lock
        held: list[bool] = []
        try:
            if acquire(lock, held, timeout):
                self._work_off(most)
        finally:
            if held and held[0]:
                lock.release()

    def _work_off(self, most: int) -> None:
        items = self._outbox.items
        if len(items) - most < self._outbox.half:
            self._outbox.filling = False
        for count in range(1, most + 1):
            try:
                item = items.popleft()
            except IndexError:
                return
            try:
                try:
                    if type(item) is tuple:
                        record(*item)
                    elif type(item) is CountedCall:
                        self._record_call(item)
                    else:
                        self._record_lease(item)
                except Exception as error:
                    # For example from a view's own aggregation. The other items are recorded.
                    self._failures.caught("record", error)
            except BaseException:
                # A signal handler raised. Put a lease back: nothing of it is recorded twice. A
                # plain value or a call could be.
                if type(item) not in (tuple, CountedCall):
                    items.appendleft(item)
                raise
            if count % _BEFORE_YIELD == 0:
                # A full outbox takes tens of milliseconds: let threads with event loops run.
                time.sleep(0)

    # Fork. No drain may run during it: the child would inherit values that the parent exports.

    def before_fork(self) -> None:
        """Acquire the lock, so that no drain runs during the fork."""
        held: list[bool] = []
        try:
            acquire(self._lock, held, _LOCK_TIMEOUT)
        finally:
            if held and held[0]:
                self._held_for_fork_by = threading.get_ident()

    def after_fork_in_parent(self) -> None:
        """Release the lock if this thread acquired it for the fork."""
        if self._held_for_fork_by == threading.get_ident():
            self._held_for_fork_by = None
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Replace the lock: the thread that held it may not exist in the child."""
        self._lock = threading.Lock()
        self._held_for_fork_by = None

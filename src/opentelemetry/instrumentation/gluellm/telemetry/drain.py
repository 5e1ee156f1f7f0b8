"""From the outbox into the SDK: when somebody collects, or when a request finds it half full."""

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
from ..pool.lease import Lease
from ..pool.outbox import Outbox

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

_AT_ENTRY = 64
_BEFORE_YIELD = 50
_LOCK_TIMEOUT = 1.0
_METRICS = "opentelemetry.sdk.metrics"

# An empty Context counts as none for the SDK, which then takes the one of whoever drains.
NO_SPAN = trace.set_span_in_context(trace.INVALID_SPAN, Context())

Record = tuple[Any, float, dict[str, Any], "SpanContext | None"]
"""Histogram, value, attributes, and the span that the value is an example of."""


def bare_context(span_context: SpanContext | None) -> Context:
    """A context with nothing but a reference to a span.

    Two thousand of a user's contexts held 147 MB where bare ones held 1.6 MB.
    """
    if span_context is None or not span_context.is_valid:
        return NO_SPAN
    return trace.set_span_in_context(trace.NonRecordingSpan(span_context), Context())


def record(histogram: Any, value: float, attributes: dict[str, Any], example: Any) -> None:
    """Give one value to the SDK, as an example of a span or of none."""
    histogram.record(value, attributes, context=bare_context(example))


def _amid_metrics() -> bool:
    """Whether this thread is within the SDK's metrics already.

    So it is for the request of a signal handler or of a finalizer that has come amid a collection.
    The SDK's locks are not reentrant: a record would wait for what its own thread holds.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(_METRICS):
            return True
        frame = frame.f_back
    return False


class Drain:
    """Empties the outbox, one thread at a time. Never called by a finalizer."""

    def __init__(self, outbox: Outbox, tell: Callable[[Lease], None], failures: Failures) -> None:
        self._outbox = outbox
        self._tell = tell
        self._failures = failures
        self._held_for_fork_by: int | None = None
        """The thread that forks and holds the lock for it: two may fork at once."""
        self._lock = threading.Lock()

    def some(self) -> None:
        """Work off a little, unless somebody else is at it, or it can't be done here."""
        # The one that was acquired: a signal handler may fork in here, and the child renews it.
        lock = self._lock
        held: list[bool] = []
        try:
            if acquire(lock, held, blocking=False) and not _amid_metrics():
                self._work_off(_AT_ENTRY)
        finally:
            if held and held[0]:
                lock.release()

    def all(self) -> None:
        """Work off what is there now. What comes meanwhile is left for the next time."""
        lock = self._lock
        held: list[bool] = []
        try:
            if acquire(lock, held, _LOCK_TIMEOUT):
                self._work_off(len(self._outbox.items))
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
                    else:
                        self._tell(item)
                except Exception as error:
                    # A view's own aggregation, for instance. The rest is none the worse for it.
                    self._failures.caught("record", error)
            except BaseException:
                # From a signal handler. Told again it counts once.
                if type(item) is not tuple:
                    items.appendleft(item)
                raise
            if count % _BEFORE_YIELD == 0:
                # A full outbox takes tens of milliseconds; no event loop must wait for them.
                time.sleep(0)

    # Fork: no drain may span it, or the child inherits what the parent exports too.

    def before_fork(self) -> None:
        """Hold the drain until the fork is over."""
        held: list[bool] = []
        try:
            acquire(self._lock, held, _LOCK_TIMEOUT)
        finally:
            if held and held[0]:
                self._held_for_fork_by = threading.get_ident()

    def after_fork_in_parent(self) -> None:
        """Let drains go on."""
        if self._held_for_fork_by == threading.get_ident():
            self._held_for_fork_by = None
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Renew the lock: its holder may be a thread that is not there."""
        self._lock = threading.Lock()
        self._held_for_fork_by = None

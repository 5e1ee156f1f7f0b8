"""What can be observed in pools."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..failures import Failures
from .call import CountedCall
from .lease import Lease, TrackedConnection


class PoolObserver:
    """Interface to what happens in pools. Every method does nothing by default.

    Most requests trigger no event; finished leases go to the outbox.

    Unless its docstring says otherwise, a method is called in the request's own task or thread,
    outside the pool's lock. The finalizer rule (``lease.py``) applies if ``in_finalizer`` is set,
    and to the methods whose docstring says so.
    """

    def lease_queued(self, lease: Lease, context: object) -> None:
        """Entry of a request, if `PoolRegistry.entry_context` returned something for it.

        The context is the application's and must not be kept. The caller catches exceptions.
        """

    def lease_waited(self, lease: Lease, in_finalizer: bool) -> None:
        """End of a wait: the request has a connection, or has failed.

        Called once, when the head of the response arrived or the request failed. Until then an
        assignment can be refused; besides, it happens under the pool's lock, in the task that
        released the connection.
        """

    def lease_timed_out(self, lease: Lease, error: BaseException) -> None:
        """Pool timeout of a request, with the library's exception.

        An observer may add a note to the exception, and must not change it otherwise.
        """

    def lease_answered(self, lease: Lease) -> None:
        """Head of a response, on a new connection or if ``lease.in_client_span``."""

    def call_began(self, call: CountedCall, context: object) -> None:
        """Begin of a call, if `PoolRegistry.entry_context` returned something for it.

        The context is the application's and must not be kept. The caller catches exceptions.
        """

    def call_ended(self, call: CountedCall) -> None:
        """End of a call with a `client_span`, in its caller's own step.

        Not called for calls that are abandoned.
        """

    def outbox_filling(self) -> None:
        """Entry of a request while the outbox is at least half full: help to drain it."""

    def connection_created(self, lease: Lease, connection: TrackedConnection) -> None:
        """Establishment of the lease's new connection."""

    def connection_failed(
        self, lease: Lease, connection: TrackedConnection, in_finalizer: bool
    ) -> None:
        """Failure to establish the lease's new connection."""

    def connection_closed(self, connection: TrackedConnection, reason: str) -> None:
        """Close of an established connection. The finalizer rule applies."""

    # Called by the watch, in its own thread.

    def watch_passed(self) -> None:
        """End of a pass of the watch."""

    def leak_suspected(self, lease: Lease, since: int) -> None:
        """Suspected leak: the response is unread since ``since``, beyond the leak threshold."""

    def leak_over(self, lease: Lease, how: str) -> None:
        """End of a suspicion: the lease was ``released`` or ``read`` on, or its pool ``closed``."""

    def finding_began(self, active: Any) -> None:
        """Begin of a finding of the process's own diagnosis, or the rise of its severity."""

    def finding_ended(self, active: Any, now: int) -> None:
        """End of a finding."""


_EVENTS = {name: method for name, method in vars(PoolObserver).items() if name[0] != "_"}
CAUGHT_BY_CALLERS = frozenset({"lease_queued", "call_began"})
"""Events on the path of every request or call. To make one call less, a single listener is called
directly, and the code that reports the event catches its exceptions."""


class Guard(PoolObserver):
    """Passes events on to observers, and catches and counts their exceptions.

    An event is passed to the observers that override its method, so an event without observers
    costs one call.
    """

    def __init__(self, observers: Iterable[PoolObserver], failures: Failures) -> None:
        self.failures = failures
        observers = tuple(observers)
        for event, default in _EVENTS.items():
            listeners = [
                getattr(observer, event)
                for observer in observers
                if getattr(type(observer), event) is not default
            ]
            direct = len(listeners) == 1 and event in CAUGHT_BY_CALLERS
            setattr(self, event, listeners[0] if direct else _notifier(event, listeners, failures))


def _notifier(
    event: str, listeners: list[Callable[..., None]], failures: Failures
) -> Callable[..., None]:
    def notify(*args: Any) -> None:
        for listener in listeners:
            try:
                listener(*args)
            except Exception as error:
                failures.caught(f"observer.{event}", error)

    return notify

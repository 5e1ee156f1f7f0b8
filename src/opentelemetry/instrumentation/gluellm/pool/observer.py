"""What can be told about a pool."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..failures import Failures

if TYPE_CHECKING:
    from .call_site import CallSite
    from .connection import TrackedConnection
    from .lease import Lease
    from .ledger import OriginLedger
    from .tracker import PoolTracker


class PoolObserver:
    """Hears of what happens in pools. Every method does nothing by default.

    Most requests are told nowhere on their way: what has ended stands in the outbox.

    Unless a method says otherwise it is called in the request's own task or thread, outside the
    pool's lock. ``lease.unwinding`` tells that a finalizer is at work: then, and in the methods
    that say so, only plain numbers may change and a deque may grow.
    """

    def pool_opened(self, pool: PoolTracker) -> None:
        """A pool has its first request."""

    def pool_discarded(self, pool: PoolTracker, reason: str) -> None:
        """A pool is ``closed`` or ``garbage_collected``. Reached by finalizers."""

    def lease_queued(self, lease: Lease, context: object) -> None:
        """A request has entered the pool; told if ``entry_context`` gives something for it.

        The context is the user's own and must not be kept.
        """

    def lease_requeued(self, lease: Lease) -> None:
        """The assigned connection turned out unusable; the request queues again."""

    def lease_waited(self, lease: Lease) -> None:
        """A request that had to wait has its connection, or has failed. Reached by finalizers.

        Told once, when the head came or the request failed: until then an assignment can be
        refused, and it happens in whichever task released a connection, under the pool's lock.
        """

    def lease_timed_out(self, lease: Lease, error: BaseException) -> None:
        """A request waited for a connection in vain. The error is the library's own: a note may be
        added to it, nothing else."""

    def lease_answered(self, lease: Lease) -> None:
        """The response's head has come: told on a fresh connection, or if ``in_client_span``."""

    def outbox_filling(self) -> None:
        """The outbox is more than half full and a request enters: time to help."""

    def connection_created(self, lease: Lease, connection: TrackedConnection) -> None:
        """The lease's new connection is established."""

    def connection_failed(self, lease: Lease, connection: TrackedConnection) -> None:
        """The lease's new connection could not be established. Reached by finalizers."""

    def connection_closed(self, connection: TrackedConnection, reason: str) -> None:
        """An established connection is closed. Reached by finalizers."""

    # Told by the watch, in a thread of ours.

    def watch_passed(self) -> None:
        """The watch has looked at everything once more."""

    def leak_suspected(self, lease: Lease) -> None:
        """Nobody has read the response for longer than the leak threshold."""

    def leak_over(self, lease: Lease, how: str) -> None:
        """A suspected lease was ``released`` after all, or ``read`` on, or its pool ``closed``."""

    def requests_stuck(self, pool: PoolTracker, leases: tuple[Lease, ...]) -> None:
        """These requests have waited for a connection or a stream for long, the oldest first."""

    def clients_churned(
        self,
        origin: OriginLedger,
        pools: int,
        requests: int,
        calls: int,
        built: tuple[tuple[CallSite, int], ...],
    ) -> None:
        """So many pools were built for an origin and served no more than so many requests, of so
        many calls. ``built`` are the known call sites of these pools, each with how many, the
        most first."""


_EVENTS = tuple(name for name in vars(PoolObserver) if not name.startswith("_"))


class Guard(PoolObserver):
    """Passes events on to observers and catches what they raise.

    For each event only the observers that override the method are called, so an event that nobody
    listens to costs one call.
    """

    def __init__(self, observers: Iterable[PoolObserver], failures: Failures) -> None:
        self.failures = failures
        observers = tuple(observers)
        for event in _EVENTS:
            listeners = [
                getattr(observer, event)
                for observer in observers
                if getattr(type(observer), event) is not getattr(PoolObserver, event)
            ]
            setattr(self, event, _relay(event, listeners, failures))


def _relay(
    event: str, listeners: list[Callable[..., None]], failures: Failures
) -> Callable[..., None]:
    if not listeners:
        return _nobody_listens
    if len(listeners) == 1:
        return _guarded(event, listeners[0], failures)

    tellers = [_relay(event, [listener], failures) for listener in listeners]

    def notify_all(*args: Any) -> None:
        for tell in tellers:
            tell(*args)

    return notify_all


def _guarded(event: str, listener: Callable[..., None], failures: Failures) -> Callable[..., None]:
    # By arity, since an event can be on the path of a request, where *args would cost a call more.
    def tell(subject: Any) -> None:
        try:
            listener(subject)
        except Exception as error:
            failures.caught(f"observer.{event}", error)

    def notify_with_two(subject: Any, further: Any) -> None:
        try:
            listener(subject, further)
        except Exception as error:
            failures.caught(f"observer.{event}", error)

    def notify_without() -> None:
        try:
            listener()
        except Exception as error:
            failures.caught(f"observer.{event}", error)

    def notify_with_more(subject: Any, *further: Any) -> None:
        try:
            listener(subject, *further)
        except Exception as error:
            failures.caught(f"observer.{event}", error)

    arguments = vars(PoolObserver)[event].__code__.co_argcount - 1
    return (notify_without, tell, notify_with_two, notify_with_more)[min(arguments, 3)]


def _nobody_listens(*args: Any) -> None:
    pass

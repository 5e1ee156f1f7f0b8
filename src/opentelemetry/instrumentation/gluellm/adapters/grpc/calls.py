"""A call's way through a channel: the common part of ``grpc.aio`` and sync channels."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

from ...pool.ledger import OTHER
from ...pool.registry import running_loop
from ...vocabulary import CONNECTING, QUEUED
from ..marks import OWNER, TRACKER
from ..scope import Scope
from .channel import READY, SHUTDOWN, CallLease, ChannelTracker
from .channels import KnownChannels, look, note_origin, state_of, target_of
from .sampling import Sampler

Arguments = tuple[Any, ...]
_NOT_OUT = (QUEUED, CONNECTING)
OK, CANCELLED, UNKNOWN = "OK", "CANCELLED", "UNKNOWN"

_TIMEOUTS = {QUEUED: "pool_timeout", CONNECTING: "connect_timeout"}
# Words in the messages of gRPC 1.60 to 1.85. Any other message is a connection_error.
_UNRESOLVED = ("errors resolving", "dns resolution failed", "name resolution", "domain name not")
_INSECURE = ("handshake failed", "ssl_error", "certificate")


class CallLeases:
    """Begins and ends the leases of one kind of channel."""

    def __init__(self, scope: Scope, inside: str, sampler: Sampler) -> None:
        self.scope = scope
        self.registry = scope.registry
        self.failures = scope.registry.failures
        self.known = KnownChannels(inside)
        self.reports_state = True
        """Whether the state of a channel can be read."""
        self.reports_reads = False
        """Whether reads of streams are recorded."""
        self._current_call = scope.current_call
        self._inside = inside
        self._sampler = sampler

    def channel_init(self, original: Any) -> Any:
        """Note a new channel, and claim it for the any-llm call or the SDK that builds it."""
        target = CallArgument(original, "target")

        def __init__(self_: Any, *args: Any, **kwargs: Any) -> None:
            original(self_, *args, **kwargs)
            try:
                pool = getattr(self_, "_call_state", self_)  # of a sync channel
                self.known.add(pool)
                note_origin(pool, target.of(args, kwargs))
                self.scope.claim(pool)
            except Exception as error:
                self.failures.caught("grpc.built", error)

        return __init__

    def begin(
        self, pool: Any, core: Any, *, waits: bool, timeout: float | None
    ) -> CallLease | None:
        """Begin the lease of a call; None if its channel is not in scope.

        ``waits`` is whether the call waits for the channel to be ready, ``timeout`` is the call's
        own in seconds. Raises only what a signal handler raises.
        """
        begun: CallLease | None = None
        try:
            host, port, scheme = pool._gluellm_origin or note_origin(pool, target_of(core))
            tracker = pool._gluellm_tracker
            if tracker is None or not tracker.open or tracker.registry is not self.registry:
                tracker = self._tracker(pool, host)
                if tracker is None:
                    return None
            elif tracker.loop is None:
                tracker.loop = running_loop()
            if not self.reports_state:
                tracker.seen(READY)
            elif state_of(core) != tracker.state:
                look(core, tracker)
                if tracker.state == SHUTDOWN:
                    return None
            lease: CallLease = tracker.begin(host, port, scheme, self._current_call())
            begun = lease
            tracker.call_entered(lease, waits=waits, timeout=timeout)
            if tracker.state != READY and self.reports_state:
                self._sampler.watch(tracker, self._look)
        except Exception as error:
            self.failures.caught("grpc.begin", error)
            if begun is not None:
                begun.tracker.discard_lease(begun)
            return None
        return lease

    def succeeded(self, lease: CallLease) -> None:
        """End the lease of a call with the status OK. Raises only what a signal handler raises."""
        tracker = lease.tracker
        try:
            if tracker.state != READY or lease.wait is not None or lease.phase in _NOT_OUT:
                self.end(lease, OK, str)
                return
            tracker.succeeded(lease, OK)
        except Exception as error:
            self.failures.caught("grpc.end", error)

    def end(self, lease: CallLease, status: str, text: Callable[[], str]) -> None:
        """End the lease of a call that has its status. ``text`` returns gRPC's message.

        Raises only what a signal handler raises. If the status is CANCELLED, the finalizer rule
        (``pool/lease.py``) applies.
        """
        if lease.ended_at:
            return
        tracker = lease.tracker
        try:
            if status == CANCELLED:
                # If the call was dropped, the garbage collector runs this.
                tracker.call_failed(lease, status, "cancelled", in_finalizer=True)
                return
            if status != OK or tracker.state != READY:
                self._look(tracker)
            error = _error_of_status(status, lease.phase, text)
            if error is None:
                tracker.completed(lease, status)
            else:
                tracker.call_failed(lease, status, error)
        except Exception as error_of_ours:
            self.failures.caught("grpc.end", error_of_ours)

    def cancelled(self, lease: CallLease) -> None:
        """End the lease of a call that was cancelled or dropped.

        The finalizer rule (``pool/lease.py``) applies.
        """
        self.end(lease, CANCELLED, str)

    def unread(self, lease: CallLease) -> None:
        """End the lease of a call whose status can't be read.

        Raises only what a signal handler raises. The finalizer rule (``pool/lease.py``) applies.
        """
        try:
            lease.tracker.failed(lease, OTHER, in_finalizer=True)
        except Exception as error:
            self.failures.caught("grpc.end", error)

    def answered(self, lease: CallLease) -> None:
        """Record the head of a call's response. Raises only what a signal handler raises."""
        tracker = lease.tracker
        if not lease.answered_at:
            try:
                if tracker.state != READY:
                    self._look(tracker)
                tracker.call_answered(lease)
            except Exception as error:
                self.failures.caught("grpc.answered", error)

    def closed(self, pool: Any) -> None:
        """Record that a channel was closed."""
        try:
            tracker = getattr(pool, TRACKER, None)
            if tracker is not None and tracker.registry is self.registry:
                if self.reports_state:
                    look(getattr(pool, self._inside), tracker)
                tracker.discard("closed")
        except Exception as error:
            self.failures.caught("grpc.close", error)

    def _tracker(self, pool: Any, host: bytes) -> Any:
        """A new tracker for a channel; None if the channel is shut down or not in scope."""
        before: ChannelTracker | None = getattr(pool, TRACKER)
        if before is not None and before.state == SHUTDOWN:
            return None  # the library is about to refuse the call
        scope = self.scope
        if not scope.everything and getattr(pool, OWNER) is None and self._current_call() is None:
            if self.registry.counts_outside:
                scope.outside()
            return None
        tracker: Any = scope.enter(pool, lambda: (host.decode("ascii"), None, None))
        if tracker is not None:
            tracker.reports_reads = self.reports_reads
            if tracker.loop is None:
                tracker.loop = running_loop()
        return tracker

    def _look(self, tracker: ChannelTracker) -> bool:
        """Read the state of a channel; return False if it is gone or no longer tracked."""
        pool = tracker.live_pool()
        if pool is None or not tracker.open:
            return False
        if self.reports_state:
            look(getattr(pool, self._inside), tracker)
        return tracker.open


class CallArgument:
    """Finds one argument of a method's call, passed by position or by name."""

    __slots__ = ("_name", "place")

    def __init__(self, function: Any, name: str) -> None:
        # Without ``self``. Raises ValueError if there is no such parameter.
        self.place = list(inspect.signature(function).parameters).index(name) - 1
        self._name = name

    def of(self, args: Arguments, kwargs: dict[str, Any]) -> Any:
        """The argument's value; None if it was not passed."""
        place = self.place
        return args[place] if len(args) > place else kwargs.get(self._name)


def status_name(number: int) -> str:
    """The name of a status. A number that the protocol does not define is UNKNOWN, as in gRPC."""
    known = getattr(sys.modules.get("grpc"), "StatusCode", ())
    return next((status.name for status in known if status.value[0] == number), UNKNOWN)


def _error_of_status(status: str, phase: int, text: Callable[[], str]) -> str | None:
    """The contract's ``error.type`` for a status that ended a call in ``phase``; None for no error.

    A status from the server is no error of the pool, just as an HTTP 429 is none. But gRPC also
    generates some statuses itself, without marking them. These always count as generated by gRPC:

    - CANCELLED is a cancellation.
    - DEADLINE_EXCEEDED is a timeout of what the call was waiting for: the channel to be ready, its
      connection, or the response.
    - UNAVAILABLE is a failure to connect if the call was not observed to be sent. Otherwise the
      connection broke, or the server rejected the call.

    ``text`` returns gRPC's message. It is read only for failures to connect, and never recorded.
    """
    if status == CANCELLED:
        return "cancelled"
    if status == "DEADLINE_EXCEEDED":
        return _TIMEOUTS.get(phase, "read_timeout")
    if status != "UNAVAILABLE":
        return None
    if phase not in _TIMEOUTS:
        return "read_error"
    account = text().lower()
    if any(word in account for word in _UNRESOLVED):
        return "name_resolution_error"
    if any(word in account for word in _INSECURE):
        return "secure_connection_error"
    return "connection_error"

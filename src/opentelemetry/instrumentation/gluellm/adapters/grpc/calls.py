"""A call's way through a channel: what is the same for ``grpc.aio`` and for sync channels."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ...pool.channel import READY, SHUTDOWN, TrackedChannel
from ...pool.lease import AWAITING_RESPONSE, CONNECTING, QUEUED, Lease
from ...pool.ledger import OTHER
from ...pool.registry import running_loop
from ...pool.tracker import PoolTracker
from ..admission import Admission
from ..marks import TRACKER
from .channels import (
    ChannelReader,
    KnownChannels,
    adopt,
    look,
    note_origin,
    state_of,
    target_of,
)
from .outcomes import CANCELLED, OK, error_type
from .sampling import Sampler

Arguments = tuple[Any, ...]
_NOT_OUT = (QUEUED, CONNECTING)


class Calls:
    """Begins and ends the leases of one kind of channel."""

    def __init__(self, admission: Admission, reader: ChannelReader, sampler: Sampler) -> None:
        self.admission = admission
        self.registry = admission.registry
        self.failures = admission.registry.failures
        self.known = KnownChannels(reader.inside)
        self.reports_state = True
        """Whether a channel can be asked for its state."""
        self.reports_reads = False
        """Whether reads of streams are noted."""
        self._current_call = admission.surroundings.current_call
        self._inside = reader.inside
        self._sampler = sampler

    def built(self, pool: Any, target: Any) -> None:
        """A channel was built; inside an any-llm call it is that provider's."""
        if pool is None:
            return
        try:
            self.known.add(pool)
            note_origin(pool, target)
        except Exception as error:
            self.failures.caught("grpc.built", error)
        self.admission.claim(pool)

    def begin(self, pool: Any, core: Any, *, waits: bool, timeout: float | None) -> Lease | None:
        """A call begins; None where its channel is not in scope.

        ``waits`` tells whether it waits for the channel to be ready, ``timeout`` is its own in
        seconds. Raises nothing.
        """
        lease: Lease | None = None
        try:
            host, port, scheme = pool._gluellm_origin or note_origin(pool, target_of(core))
            tracker = pool._gluellm_tracker
            if tracker is None or not tracker.open or tracker.registry is not self.registry:
                tracker = self._tracker(pool, host)
                if tracker is None:
                    return None
            elif tracker.loop is None:
                tracker.loop = running_loop()
            channel = tracker.channel
            if not self.reports_state:
                channel.seen(READY)
            elif state_of(core) != channel.state:
                look(core, tracker)
                if channel.state == SHUTDOWN:
                    return None
            call = self._current_call()
            if call is not None and call.ended:
                call = None
            made: Lease = tracker.begin(host, port, scheme, call)
            lease = made
            if channel.state == READY and not waits:
                # As it is for nearly every call: it has what it needs, and nobody tells since when.
                made.channel = channel
                made.acquire_known = False
                made.acquired_at = made.entered_at
                made.phase = AWAITING_RESPONSE
                return made
            channel.entered(made, waits=waits, timeout=timeout)
            if channel.state != READY and self.reports_state:
                self._sampler.watch(channel, self._look)
        except Exception as error:
            self.failures.caught("grpc.begin", error)
            if lease is not None:
                self.discard_lease(lease)
            return None
        return lease

    def discard_lease(self, lease: Lease) -> None:
        """The call was not made after all."""
        if lease.channel is not None:
            lease.channel.discard_lease(lease)
        else:
            lease.tracker.discard_lease(lease)

    def succeeded(self, lease: Lease) -> None:
        """A call ended as it should. Raises nothing."""
        channel = lease.channel
        try:
            if channel is None or channel.state != READY or lease.phase in _NOT_OUT:
                self.end(lease, OK, _no_text)
                return
            lease.status = OK
            lease.tracker.released(lease)
            if not lease.answered_at:
                lease.answered_at = lease.ended_at
            if lease.waited and lease.counted:
                lease.tracker.observer.lease_waited(lease)
        except Exception as error:
            self.failures.caught("grpc.end", error)

    def end(self, lease: Lease, status: str, text: Callable[[], str]) -> None:
        """A call has its status. Reached by finalizers where that is CANCELLED. Raises nothing."""
        channel = lease.channel
        if lease.ended or channel is None:
            return
        try:
            if status == CANCELLED:
                # It may be that the call was dropped and the garbage collector runs.
                channel.failed(lease, status, "cancelled", in_finalizer=True)
                return
            if status != OK or channel.state != READY:
                self._look(channel)
            error = error_type(status, lease.phase, text)
            if error is None:
                channel.completed(lease, status)
            else:
                channel.failed(lease, status, error)
        except Exception as error_of_ours:
            self.failures.caught("grpc.end", error_of_ours)

    def cancelled(self, lease: Lease) -> None:
        """A call was cancelled or dropped. Reached by finalizers."""
        self.end(lease, CANCELLED, _no_text)

    def unread(self, lease: Lease) -> None:
        """A call has ended, and its status can't be read. Reached by finalizers. Raises nothing."""
        channel = lease.channel
        if lease.ended or channel is None:
            return
        try:
            channel.failed(lease, 0, OTHER, in_finalizer=True)
        except Exception as error:
            self.failures.caught("grpc.end", error)

    def answered(self, lease: Lease) -> None:
        """The head of a call's answer has come. Raises nothing."""
        channel = lease.channel
        if channel is not None and not lease.answered_at:
            try:
                if channel.state != READY:
                    self._look(channel)
                channel.answered(lease)
            except Exception as error:
                self.failures.caught("grpc.answered", error)

    def closed(self, pool: Any) -> None:
        """A channel was closed."""
        try:
            tracker = getattr(pool, TRACKER, None)
            if tracker is not None and tracker.registry is self.registry:
                if tracker.channel is not None and self.reports_state:
                    look(getattr(pool, self._inside), tracker)
                tracker.discard("closed")
        except Exception as error:
            self.failures.caught("grpc.close", error)

    def _tracker(self, pool: Any, host: bytes) -> Any:
        """The tracker of a channel that has none, or one that is over."""
        before: PoolTracker | None = getattr(pool, TRACKER)
        if before is not None and before.channel is not None and before.channel.state == SHUTDOWN:
            return None  # the library is about to refuse the call
        tracker = self.admission.tracker(pool, host.decode("ascii"))
        if tracker is not None and tracker.channel is not None:
            tracker.channel.reports_reads = self.reports_reads
            return tracker
        return None

    def _look(self, channel: TrackedChannel) -> bool:
        """Look at a channel where it is still there and followed."""
        tracker = channel.tracker
        reference = tracker.reference
        pool = reference() if reference is not None else None
        if pool is None or not tracker.open:
            return False
        if self.reports_state:
            look(getattr(pool, self._inside), tracker)
        return tracker.open


def admission_of(surroundings: Any, library: str, reader: ChannelReader) -> Admission:
    """What decides which channels of a kind are followed."""
    return Admission(surroundings, library, reader, adopt)


class Argument:
    """Finds one argument of a call of a function, given by place or by name."""

    __slots__ = ("_name", "place")

    def __init__(self, function: Any, name: str) -> None:
        # Less the instance. Raises where there is no such parameter.
        self.place = list(inspect.signature(function).parameters).index(name) - 1
        self._name = name

    def of(self, args: Arguments, kwargs: dict[str, Any]) -> Any:
        """Its value; None where it was not given."""
        place = self.place
        return args[place] if len(args) > place else kwargs.get(self._name)


def has_arguments(function: Any, *names: str) -> bool:
    """Whether a function has these parameters."""
    try:
        return set(names) <= inspect.signature(function).parameters.keys()
    except (TypeError, ValueError):
        return False


def _no_text() -> str:
    return ""

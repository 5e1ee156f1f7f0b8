"""Calls of ``grpc.aio``, tracked from where the call object is made, inside all interceptors."""

from __future__ import annotations

import sys
import time
import weakref
from functools import partial
from types import FrameType
from typing import Any

from ..marks import LEASE
from .calls import CANCELLED, CallArgument, CallLeases, status_name
from .channel import CallLease

ARGUMENTS = ("channel", "wait_for_ready", "deadline")
"""Parameters of an async call that are read."""


class AioHooks:
    """Replacements for methods of ``grpc.aio``."""

    def __init__(self, calls: CallLeases, end_of_stream: Any) -> None:
        self._calls = calls
        self._end_of_stream = end_of_stream
        """The value that the library's streams return when there are no more messages."""

    def register_call(self, original: Any) -> Any:
        """Note a channel that predates the instrumentation when it makes a call.

        For channels with interceptors that is early enough: those make the call in a separate task.
        """
        calls = self._calls
        known, add = calls.known.references, calls.known.add

        def _register_call(self_: Any, call: Any) -> Any:
            try:
                if id(self_._channel) not in known:
                    add(self_)
            except Exception as error:
                calls.failures.caught("grpc.register", error)
            return original(self_, call)

        return _register_call

    def call_init(self, original: Any) -> Any:
        """Track a call from its construction: with interceptors, in their task and their spans."""
        begin, learn = self._begin, self._learn
        arguments = [CallArgument(original, name) for name in ARGUMENTS]
        core_of, waits_of, deadline_of = arguments
        core_at, waits_at = core_of.place, waits_of.place
        known = self._calls.known.references
        scope = self._calls.scope
        current_call, everything, outside = scope.current_call, scope.everything, scope.outside
        registry = scope.registry
        caught = registry.failures.caught

        # The check of the scope comes first, since this runs for every call of the process.
        def __init__(self_: Any, *args: Any, **kwargs: Any) -> None:
            original(self_, *args, **kwargs)
            try:
                core = args[core_at] if len(args) > core_at else core_of.of(args, kwargs)
                reference = known.get(id(core))
                pool = learn(core, sys._getframe(1)) if reference is None else reference()
                if pool is None:
                    return
                if (
                    not everything
                    and pool._gluellm_tracker is None
                    and pool._gluellm_owner is None
                    and current_call() is None
                ):
                    if registry.counts_outside:
                        outside()
                    return
                waits = args[waits_at] if len(args) > waits_at else waits_of.of(args, kwargs)
                begin(self_, pool, core, waits, deadline_of.of(args, kwargs) if waits else None)
            except Exception as error:
                caught("grpc.begin", error)

        return __init__

    def _learn(self, core: Any, maker: FrameType) -> Any:
        """Find and note the channel of a call whose channel is unknown; None if not found.

        The call gets only the channel's inner object, but the stub that makes the call has both.
        """
        try:
            stub = maker.f_locals.get("self")
            for channel in getattr(stub, "_references", ()):
                if getattr(channel, "_channel", None) is core:
                    self._calls.known.add(channel)
                    return channel
        except Exception as error:
            self._calls.failures.caught("grpc.learn", error)
        return None

    def _begin(self, call: Any, pool: Any, core: Any, waits: Any, deadline: Any) -> None:
        calls = self._calls
        if deadline is not None:
            deadline = max(deadline - time.time(), 0.0)
        lease = calls.begin(pool, core, waits=waits, timeout=deadline)
        if lease is None:
            return
        try:
            # A weak reference: the library's object holds the callback.
            ends = partial(self._ends, lease, weakref.ref(call))
            call._cython_call.add_done_callback(ends)
            preparation = getattr(call, "_preparation", None)
            if preparation is not None:
                call._gluellm_lease = lease
                preparation.add_done_callback(partial(self._head_comes, lease))
        except Exception as error:
            calls.failures.caught("grpc.begin", error)
            lease.tracker.discard_lease(lease)

    def _ends(self, lease: CallLease, reference: weakref.ref[Any]) -> None:
        """Called by the library once, when a call has its status."""
        if lease.ended_at:
            return
        call = reference()
        status: Any = None  # then the call is gone, and its text is not read
        try:
            if call is not None:
                status = call._cython_call._status
                if not status.code():
                    self._calls.succeeded(lease)
                    return
            name = CANCELLED if status is None else status_name(int(status.code()))
        except Exception as error:
            self._calls.failures.caught("grpc.status", error)
            self._calls.unread(lease)
            return
        self._calls.end(lease, name, lambda: str(status.details() or ""))

    def _head_comes(self, lease: CallLease, preparation: Any) -> None:
        """Called by the event loop when a call has been sent and its response begins."""
        try:
            if lease.ended_at or preparation.cancelled():
                return
        except Exception as error:
            self._calls.failures.caught("grpc.head", error)
            return
        # The task's exception is not read: that would silence asyncio's warning about it.
        self._calls.answered(lease)

    def read(self, original: Any) -> Any:
        """Record that the application waits for the next message of a stream."""
        reading = self._reading

        def _read(self_: Any) -> Any:
            pending = original(self_)
            lease = getattr(self_, LEASE, None)
            return pending if lease is None or lease.ended_at else reading(lease, pending)

        return _read

    async def _reading(self, lease: CallLease, pending: Any) -> Any:
        lease.tracker.reading(lease)
        try:
            message = await pending
            if not lease.answered_at and message is not self._end_of_stream:
                self._calls.answered(lease)
            return message
        finally:
            # At the end of the stream, the status may not have arrived yet.
            lease.tracker.read(lease)

    def close(self, original: Any) -> Any:
        """Record that a channel is closed, after the grace period of its calls."""
        calls = self._calls

        async def closing(channel: Any, pending: Any) -> Any:
            try:
                return await pending
            finally:
                calls.closed(channel)

        def _close(self_: Any, grace: float | None = None) -> Any:
            return closing(self_, original(self_, grace))

        return _close

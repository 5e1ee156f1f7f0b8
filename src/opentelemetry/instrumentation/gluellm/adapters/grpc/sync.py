"""Calls of sync channels, tracked around the methods that make them."""

from __future__ import annotations

import weakref
from functools import partial
from typing import Any

from ..marks import LEASE
from .calls import Arguments, CallArgument, CallLeases
from .channel import CallLease


class SyncHooks:
    """Replacements for methods of ``grpc``'s sync channels."""

    def __init__(self, calls: CallLeases) -> None:
        self._calls = calls

    def close(self, original: Any) -> Any:
        """Record that a channel is closed."""
        calls = self._calls

        def _close(self_: Any) -> None:
            try:
                original(self_)
            finally:
                calls.closed(getattr(self_, "_call_state", None))

        return _close

    def blocking(self, original: Any) -> Any:
        """Track a call that waits for its response."""
        begin, calls = self._beginning(original), self._calls

        def _blocking(self_: Any, *args: Any, **kwargs: Any) -> Any:
            lease = begin(self_, args, kwargs)
            if lease is None:
                return original(self_, *args, **kwargs)
            try:
                result = original(self_, *args, **kwargs)
                try:  # inside the outer try, since a signal handler may raise here as well
                    _end(calls, lease, result[0])
                except Exception as own:  # the result is a private object of the library
                    calls.failures.caught("grpc.end", own)
                    lease.tracker.discard_lease(lease)
            except BaseException as error:
                _broken(calls, lease, error)
                raise
            return result

        return _blocking

    def starting(self, original: Any) -> Any:
        """Track a call that returns an object for the call in flight."""
        begin, calls = self._beginning(original), self._calls

        def start(self_: Any, *args: Any, **kwargs: Any) -> Any:
            lease = begin(self_, args, kwargs)
            if lease is None:
                return original(self_, *args, **kwargs)
            try:
                call = original(self_, *args, **kwargs)
            except BaseException as error:
                _broken(calls, lease, error)
                raise
            try:
                call._gluellm_lease = lease
                ends = partial(_ends, calls, lease, weakref.ref(call._state))
                if not call.add_callback(ends):
                    ends()  # the call has its status already
            except Exception as error:
                calls.failures.caught("grpc.begin", error)
                lease.tracker.discard_lease(lease)
            except BaseException as interrupt:
                _broken(calls, lease, interrupt)
                raise
            return call

        return start

    def _beginning(self, original: Any) -> Any:
        waits_of = CallArgument(original, "wait_for_ready")
        timeout_of = CallArgument(original, "timeout")
        calls = self._calls
        known = calls.known

        def begin(stub: Any, args: Arguments, kwargs: dict[str, Any]) -> CallLease | None:
            try:
                core = stub._channel
                pool = known.of(core)
                if pool is None:
                    pool = _channel_of(stub)
                    if pool is None:
                        return None
                    known.add(pool)
                waits = bool(waits_of.of(args, kwargs))
                timeout = timeout_of.of(args, kwargs) if waits else None
            except Exception as error:
                calls.failures.caught("grpc.begin", error)
                return None
            return calls.begin(pool, core, waits=waits, timeout=timeout)

        return begin

    def next(self, original: Any) -> Any:
        """Record that the application waits for the next message of a stream."""
        answered = self._calls.answered

        def _next(self_: Any) -> Any:
            lease = getattr(self_, LEASE, None)
            if lease is None or lease.ended_at:
                return original(self_)
            tracker = lease.tracker
            tracker.reading(lease)
            try:
                message = original(self_)
                answered(lease)
            finally:
                tracker.read(lease)
            return message

        return _next

    def initial_metadata(self, original: Any) -> Any:
        """Record the head of a response that the application has waited for."""
        answered = self._calls.answered

        def initial_metadata(self_: Any) -> Any:
            result = original(self_)
            lease = getattr(self_, LEASE, None)
            # A failed call has no head; the callback for its status ends the lease.
            if lease is not None and not lease.ended_at and _is_in_flight(self_):
                answered(lease)
            return result

        return initial_metadata

    def cancel(self, original: Any) -> Any:
        """Record that a call is cancelled."""
        calls = self._calls

        def cancel(self_: Any) -> Any:
            result = original(self_)
            lease = getattr(self_, LEASE, None)
            if result and lease is not None:
                calls.cancelled(lease)
            return result

        return cancel

    def delete(self, original: Any) -> Any:
        """Record that a call's object is dropped: the library then cancels a call in flight."""
        calls = self._calls

        def __del__(self_: Any) -> None:
            lease = getattr(self_, LEASE, None)
            dropped = lease is not None and not lease.ended_at and _is_in_flight(self_)
            original(self_)
            if dropped and lease is not None:
                calls.cancelled(lease)

        return __del__


def _channel_of(stub: Any) -> Any:
    """The channel of a stub that predates the instrumentation, held by ``_managed_call``."""
    closure = getattr(getattr(stub, "_managed_call", None), "__closure__", None) or ()
    for cell in closure:
        held = cell.cell_contents
        if getattr(held, "channel", None) is stub._channel:
            return held
    return None


def _is_in_flight(call: Any) -> bool:
    return getattr(getattr(call, "_state", None), "code", None) is None


def _ends(calls: CallLeases, lease: CallLease, state: weakref.ref[Any]) -> None:
    """Called by the library in its own thread when a call has its status."""
    if not lease.ended_at:
        try:
            _end(calls, lease, state())
        except Exception as error:  # the state is a private object of the library
            calls.failures.caught("grpc.status", error)
            calls.unread(lease)


def _end(calls: CallLeases, lease: CallLease, state: Any) -> None:
    code = getattr(state, "code", None)
    if code is None:
        calls.cancelled(lease)
    else:
        calls.end(lease, code.name, lambda: str(state.details or ""))


def _broken(calls: CallLeases, lease: CallLease, error: BaseException) -> None:
    """End the lease of a call that the library refused to make, or that was interrupted."""
    if isinstance(error, Exception):
        lease.tracker.discard_lease(lease)
    else:
        calls.cancelled(lease)

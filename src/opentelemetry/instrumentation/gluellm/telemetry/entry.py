"""Read the caller's OpenTelemetry context when a request enters a pool."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from opentelemetry.context import Context, get_current
from opentelemetry.trace import propagation

from opentelemetry import context as context_api
from opentelemetry import trace

from ..pool.call import CountedCall
from ..pool.lease import Lease
from ..pool.observer import PoolObserver

# Both keys are private names of the API, so a version may lack them.
_SUPPRESS_INSTRUMENTATION_KEY: Any = getattr(context_api, "_SUPPRESS_INSTRUMENTATION_KEY", None)
if not isinstance(_SUPPRESS_INSTRUMENTATION_KEY, str):
    _SUPPRESS_INSTRUMENTATION_KEY = None
_SPAN_KEY = getattr(propagation, "_SPAN_KEY", None)
# opentelemetry-instrumentation sets this key as well, "for backward compatibility".
_SUPPRESS_PLAIN = "suppress_instrumentation"
_CLIENT = trace.SpanKind.CLIENT


def entry_context() -> Callable[[], object]:
    """Return a function that returns the current context, empty in most untraced programs.

    The API's own function makes four calls, the context variable behind it only one. The API's
    function is returned if another kind of runtime context is configured.
    """
    runtime = getattr(context_api, "_RUNTIME_CONTEXT", None)
    variable = getattr(runtime, "_current_context", None)
    get: Callable[[], object] | None = getattr(variable, "get", None)
    return get if callable(get) else get_current


def span_in(context: Context) -> Any:
    """Return the current span of a context; None, or one that does not record, if there is none."""
    return context.get(_SPAN_KEY) if _SPAN_KEY else trace.get_current_span(context)


def suppressed() -> bool:
    """Return whether the current context has the key that suppresses instrumentation."""
    return _is_suppressed(get_current())


def _is_suppressed(context: Context) -> bool:
    return bool(context.get(_SUPPRESS_INSTRUMENTATION_KEY) or context.get(_SUPPRESS_PLAIN))


class SuppressedContext(trace.SpanContext):
    """Span context of a request that entered while OpenTelemetry's suppress key was set."""


def _unless_suppressed(own: trace.SpanContext | None, context: Context) -> trace.SpanContext | None:
    if not _is_suppressed(context):
        return own
    own = own or trace.INVALID_SPAN_CONTEXT
    return SuppressedContext(
        own.trace_id, own.span_id, own.is_remote, own.trace_flags, own.trace_state
    )


class EntryObserver(PoolObserver):
    """Observer that stores span contexts of requests and calls on them. It keeps no context."""

    def __init__(self) -> None:
        self._called: weakref.WeakSet[Any] = weakref.WeakSet()
        """Spans of kind CLIENT under which a call has begun."""

    def call_began(self, call: CountedCall, context: object) -> None:
        if not isinstance(context, Context):
            return
        span: Any = span_in(context)
        call.observed = None if span is None else span.get_span_context()
        if _SUPPRESS_INSTRUMENTATION_KEY in context or _SUPPRESS_PLAIN in context:
            call.observed = _unless_suppressed(call.observed, context)
        if (
            getattr(span, "kind", None) is _CLIENT
            and span.is_recording()
            and span not in self._called
        ):
            self._called.add(span)
            call.client_span = weakref.ref(span)

    def lease_queued(self, lease: Lease, context: object) -> None:
        if not isinstance(context, Context):
            return
        span: Any = context.get(_SPAN_KEY) if _SPAN_KEY else trace.get_current_span(context)
        if span is not None:
            lease.observed = span.get_span_context()
            try:  # as an attribute: getattr() would cost more
                kind = span.kind
            except AttributeError:  # a span that does not record
                kind = None
            if kind is _CLIENT:
                lease.in_client_span = True
        if _SUPPRESS_INSTRUMENTATION_KEY in context or _SUPPRESS_PLAIN in context:
            lease.observed = _unless_suppressed(lease.observed, context)

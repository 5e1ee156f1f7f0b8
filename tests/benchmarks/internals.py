"""The few private places of the package that a measurement needs: nothing else here reaches in."""

from __future__ import annotations

from typing import Any

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor


def installation() -> Any:
    """What ``instrument()`` turned on."""
    current = GlueLLMInstrumentor._installation
    assert current is not None, "not instrumented"
    return current


def drain() -> None:
    """Give the SDK what waits in the outbox, as a collection does first."""
    found = installation()
    if hasattr(found, "_drain"):
        found._drain.all()
    else:
        found._buffer.drain()


def waiting() -> Any:
    """The deque of what is yet to be told."""
    found = installation()
    return found.registry.outbox.items if hasattr(found, "_drain") else found._buffer._records


def capacity() -> int:
    """How many items the outbox holds at most."""
    found = installation()
    if hasattr(found, "_drain"):
        return int(found.registry.outbox.capacity)
    return int(found._buffer._capacity)


def dropped() -> int:
    """How many items found the outbox full."""
    found = installation()
    source = found.registry.outbox if hasattr(found, "_drain") else found._buffer
    return int(source.dropped)


def patches() -> list[Any]:
    """The replaced methods of the HTTP libraries."""
    (httpcore,) = installation()._adapters
    return list(httpcore._patches._patches.values())

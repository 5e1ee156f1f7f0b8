"""The few private places of the package that a measurement needs: nothing else here reaches in."""

import os
from typing import Any

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.pool.lease import Lease
from opentelemetry.instrumentation.gluellm.watch import watch


def installation() -> Any:
    """What ``instrument()`` turned on."""
    current = GlueLLMInstrumentor._installation
    assert current is not None, "not instrumented"
    return current


def leave_out_what_runs_by_the_clock() -> None:
    """The watch's looks and the loops' timers, for what is instrumented from now on.

    Under valgrind a request takes fifty times as long, and would have fifty times as many of them.
    ``collection.py`` measures them.
    """
    watch.INTERVAL = 3600.0
    os.environ["OTEL_PYTHON_GLUELLM_LOOP_LAG"] = "false"


def leave_out_the_first_minute() -> None:
    """Requests outside the scope are counted until the first collection that finds some."""
    installation().registry.counts_outside = False


def drain() -> None:
    """Give the SDK what waits in the outbox, as a collection does first."""
    installation().drain.all()


def outbox() -> Any:
    """What is yet to be told."""
    return installation().registry.outbox


def waiting() -> Any:
    """The deque of the outbox."""
    return outbox().items


def capacity() -> int:
    """How many items the outbox holds at most."""
    return int(outbox().capacity)


def fill(items: list[Any], count: int) -> None:
    """Let the outbox hold ``count`` items like these, none of them told yet."""
    deque = waiting()
    while items and len(deque) < count:
        copies: dict[int, Any] = {}
        # A lease can be in there twice, for its answer and for its end.
        for item in items[: count - len(deque)]:
            if id(item) not in copies:
                copies[id(item)] = _untold(item)
            deque.append(copies[id(item)])


def _untold(item: Any) -> Any:
    if not isinstance(item, Lease):
        return item
    # By hand: a lease is copied as None, so that nobody's copy of a request has one.
    twin = object.__new__(Lease)
    for name in Lease.__slots__:
        if name != "__dict__" and hasattr(item, name):
            setattr(twin, name, getattr(item, name))
    twin.__dict__.update(item.__dict__)
    twin.recorded = 0
    twin.accounted = False
    return twin

"""The executor whose threads send a pool's requests.

botocore and otari are called in threads. The number of threads then bounds concurrent requests, and
a call that finds no free thread waits before it enters any pool.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

from ...pool.lease import Workers

EXECUTOR = "_gluellm_executor"
"""On a pool: a weak reference to the executor whose threads send its requests."""


def note_executor(pool: Any) -> None:
    """Store on a pool the executor that the running thread belongs to, if any."""
    found = _executor_here()
    if found is not None:
        setattr(pool, EXECUTOR, found)


def _executor_here() -> weakref.ref[Any] | None:
    # The first argument of each ThreadPoolExecutor thread is a weak reference to the executor.
    arguments = getattr(threading.current_thread(), "_args", None)
    first = arguments[0] if isinstance(arguments, tuple) and arguments else None
    if not isinstance(first, weakref.ref):
        return None
    executor = first()
    if not isinstance(getattr(executor, "_max_workers", None), int):
        return None
    # A new reference, since the thread's own one has a callback of the executor.
    return weakref.ref(executor)


def workers_of(pool: Any) -> Workers | None:
    """The executor whose threads send a pool's requests; None if it is unknown."""
    reference = getattr(pool, EXECUTOR, None)
    executor = reference() if reference is not None else None
    if executor is None:
        return None
    waiting = getattr(getattr(executor, "_work_queue", None), "qsize", None)
    maximum = getattr(executor, "_max_workers", None)
    if waiting is None or not isinstance(maximum, int):
        return None
    return Workers(executor=reference, maximum=maximum, waiting=waiting())


def probe() -> bool:
    """Probe whether an executor of this Python version exposes its threads and its queue."""
    from concurrent.futures import ThreadPoolExecutor

    try:
        with ThreadPoolExecutor(1) as executor:
            found = executor.submit(_executor_here).result()
            queue = getattr(executor, "_work_queue", None)
            return found is not None and found() is executor and hasattr(queue, "qsize")
    except RuntimeError:
        return False  # no thread can be started, or the interpreter is shutting down

"""Which executor's threads send a pool's requests.

botocore and otari are called in threads. Then the number of threads is what bounds the requests at
once, and a call that finds none free waits before it enters any pool.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

from ...pool.reader import Workers
from .marks import EXECUTOR


def note_executor(pool: Any) -> None:
    """Note the executor that the running thread belongs to, if it is one's."""
    found = _executor_here()
    if found is not None:
        setattr(pool, EXECUTOR, found)


def _executor_here() -> weakref.ref[Any] | None:
    # The first argument of each thread of a ThreadPoolExecutor is a weak reference to it.
    arguments = getattr(threading.current_thread(), "_args", None)
    first = arguments[0] if isinstance(arguments, tuple) and arguments else None
    if not isinstance(first, weakref.ref):
        return None
    executor = first()
    if not isinstance(getattr(executor, "_max_workers", None), int):
        return None
    # Not the thread's own reference: its callback is none of ours.
    return weakref.ref(executor)


def workers_of(pool: Any) -> Workers | None:
    """The executor whose threads send a pool's requests; None where that is not known."""
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
    """Whether an executor of this Python version shows its threads and its queue."""
    from concurrent.futures import ThreadPoolExecutor

    try:
        with ThreadPoolExecutor(1) as executor:
            found = executor.submit(_executor_here).result()
            queue = getattr(executor, "_work_queue", None)
            return found is not None and found() is executor and hasattr(queue, "qsize")
    except RuntimeError:
        return False  # no more threads to be had, or the interpreter is about to end

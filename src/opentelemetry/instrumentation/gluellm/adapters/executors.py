"""Executors whose threads send the requests of a pool.

Blocking clients are called in threads: botocore and otari by any-llm, any of them by
``asyncio.to_thread`` or by a plain ``def`` endpoint of FastAPI. The number of threads then bounds
concurrent requests, and a call that finds no free thread waits before it enters any pool.
"""

from __future__ import annotations

import sys
import threading
import weakref
from typing import Any

from ..pool.lease import Workers

EXECUTOR = "_gluellm_executor"
"""On a pool: a weak reference to the executor whose threads send its requests. AnyIO has none: it
is the event loop that has its limit on threads."""
_ANYIO = "anyio._backends._asyncio"


def note_executor(pool: Any, *, of_loop: bool = False) -> None:
    """Store on a pool the executor that the running thread belongs to, if any.

    With ``of_loop``, only an executor that the whole event loop shares. An application that makes
    an executor for a batch has chosen to queue its calls there.
    """
    thread = threading.current_thread()
    if of_loop and not thread.name.startswith(("asyncio_", "AnyIO worker thread")):
        return
    found = _executor_of(thread)
    if found is not None:
        setattr(pool, EXECUTOR, found)


def _executor_of(thread: threading.Thread) -> weakref.ref[Any] | None:
    if type(thread).__module__ == _ANYIO:
        loop = getattr(thread, "loop", None)
        return None if loop is None else weakref.ref(loop)
    # The first argument of each ThreadPoolExecutor thread is a weak reference to the executor.
    arguments = getattr(thread, "_args", None)
    first = arguments[0] if isinstance(arguments, tuple) and arguments else None
    if not isinstance(first, weakref.ref):
        return None
    executor = first()
    if not isinstance(getattr(executor, "_max_workers", None), int):
        return None
    if not hasattr(getattr(executor, "_work_queue", None), "qsize"):
        return None
    # A new reference, since the thread's own one has a callback of the executor.
    return weakref.ref(executor)


def workers_of(pool: Any) -> Workers | None:
    """The executor whose threads send a pool's requests; None if it is unknown."""
    reference = getattr(pool, EXECUTOR, None)
    executor = reference() if reference is not None else None
    if executor is None:
        return None
    if not hasattr(executor, "_work_queue"):
        return _of_anyio(reference, executor)
    waiting = executor._work_queue.qsize()
    return Workers(executor=reference, maximum=executor._max_workers, waiting=waiting)


def _of_anyio(reference: Any, loop: Any) -> Workers | None:
    """The threads of AnyIO for a loop, up to its default limiter's number."""
    try:
        variables = sys.modules["anyio.lowlevel"]._run_vars.get(loop, {})
        limiter = variables.get(sys.modules[_ANYIO]._default_thread_limiter)
        now = limiter.statistics()
        return Workers(
            executor=reference, maximum=int(now.total_tokens), waiting=now.tasks_waiting, anyio=True
        )
    except Exception:  # another version, no limit, or its sets changed meanwhile
        return None


def probe_executor() -> bool:
    """Probe whether an executor of this Python version exposes its threads and its queue."""
    from concurrent.futures import ThreadPoolExecutor

    try:
        with ThreadPoolExecutor(1) as executor:
            found = executor.submit(lambda: _executor_of(threading.current_thread())).result()
            return found is not None and found() is executor
    except RuntimeError:
        return False  # no thread can be started, or the interpreter is shutting down

"""Copies of containers that other threads change, locks safe from signal handlers, threads."""

from __future__ import annotations

import _thread
import importlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from types import BuiltinFunctionType
from typing import Any, TypeVar

from .failures import Failures, raise_on


def daemon_thread(run: Callable[[], None], *, name: str) -> threading.Thread:
    """Create a daemon thread, without starting it.

    Raises RuntimeError in a sub-interpreter. Isolated sub-interpreters have no daemon threads. Any
    other sub-interpreter aborts the whole process if it ends while a daemon thread is alive. Up to
    Python 3.12, no code can end the thread before that.
    """
    if not _in_main_interpreter():
        raise RuntimeError("no daemon threads in a sub-interpreter")
    return threading.Thread(target=run, name=name, daemon=True)


class DaemonThread:
    """A daemon thread that runs while an installation needs it.

    No lock is held: a request would wait for it while another request starts the thread.
    """

    def __init__(self, run: Callable[[], None], name: str, failures: Failures, kind: str) -> None:
        self._run = run
        self._name = name
        self._failures = failures
        self._kind = kind
        self.stopped = threading.Event()
        """Set for good by `stop`, and where the interpreter has no daemon threads."""
        self.current: threading.Thread | None = None
        self._begun: threading.Thread | None = None
        """The thread that has last begun to run."""

    def start(self) -> None:
        """Start the thread unless there is one.

        Raises only exceptions from signal handlers, and exceptions that are not an ``Exception``.
        """
        if self.current is not None or self.stopped.is_set():
            return
        try:
            thread = daemon_thread(self._begin, name=self._name)
        except RuntimeError as error:
            self._failures.caught(self._kind, error)
            self.stopped.set()
            return
        # atomic
        if self.current is None:
            self.current = thread
        # end of atomic
        if self.current is not thread:
            return
        try:
            thread.start()
        except BaseException as error:
            # No thread is available, the interpreter is shutting down, or an interrupt. After an
            # interrupt the thread may begin later, or never although Python calls it alive.
            if self._begun is not thread:  # atomic
                self.current = None
            if not isinstance(error, Exception):
                raise
            self._failures.caught(self._kind, error)

    def _begin(self) -> None:
        thread = threading.current_thread()
        # None after an interrupted start.
        if not self.stopped.is_set() and self.current in (None, thread):  # atomic
            self.current = self._begun = thread
            self._run()

    def rests(self, wanted: Callable[[], object]) -> bool:
        """Return whether the calling thread has to end: it goes on if ``wanted()`` is true.

        A caller of `start` changes what ``wanted`` returns before it calls. So it either starts
        another thread, or this one goes on.
        """
        thread = threading.current_thread()
        if self.current is thread:
            self.current = None
            if wanted() and self.current is None:  # atomic
                self.current = thread
        return self.current is not thread

    def stop(self) -> None:
        """End the thread for good, and wait for it for at most a second."""
        self.stopped.set()
        thread, self.current = self.current, None
        # Another thread may be about to start this thread, which then ends at once.
        if thread is not None and thread.is_alive() and thread is not threading.current_thread():
            thread.join(timeout=1.0)

    def after_fork_in_child(self) -> None:
        """Forget the parent's thread."""
        self.current = None
        if not self.stopped.is_set():
            # The lock in it may be held by a thread that does not exist in the child.
            self.stopped = threading.Event()


def in_forked_child(run: Callable[[], None]) -> Callable[[], None]:
    """Call a function in each forked child, for example to renew a lock.

    The thread that holds a lock may not exist in the child.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=run)
    return run


# Chosen by version: trying to import a module that is missing reads every folder of sys.path.
_INTERPRETERS = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"


def _in_main_interpreter() -> bool:
    try:
        interpreters = importlib.import_module(_INTERPRETERS)
        return bool(interpreters.get_current() == interpreters.get_main())
    except Exception as error:  # the module is private: it may be missing or incompatible
        raise_on(error)
    return True  # then this Python has no sub-interpreters


def is_native(function: object) -> bool:
    """Return whether a built-in function is unpatched."""
    return isinstance(function, BuiltinFunctionType)


def threads_are_greenlets() -> bool:
    """Return whether a new thread is a greenlet of gevent or eventlet."""
    return not is_native(_thread.start_new_thread)


_T = TypeVar("_T")
_TRIES = 100
_TRIES_OF_A_QUEUE = 3
"""Fewer than for dicts: a queue can be long, and then each try takes a while."""


def snapshot_of(view: Callable[[], Iterable[_T]]) -> tuple[_T, ...]:
    """Copy a dict's keys, values or items, without a lock since finalizers change such dicts.

    Up to Python 3.11 the garbage collector can run during the copying, and a finalizer can change
    the dict. The copying is then repeated. Raises RuntimeError if 100 repetitions are not enough.
    """
    for _ in range(_TRIES):
        try:
            # This display builds a list first; tuple() does not. Without the interpreter lock, only
            # copying a dict into a list is one step that no other thread can interrupt.
            return (*view(),)
        except RuntimeError:
            continue
    return (*view(),)


def snapshot_of_queue(queue: deque[_T]) -> tuple[_T, ...]:
    """Copy a deque while other threads change it.

    Without the interpreter lock a deque cannot be copied in one step, and while other threads keep
    appending, a long one cannot be copied at all. After a few tries its items are therefore read
    one by one. Then an item that another thread removes from the front may be missing, and one
    further item with it.
    """
    for _ in range(_TRIES_OF_A_QUEUE):
        try:
            return tuple(queue)
        except RuntimeError:
            continue
    found: list[_T] = []
    for index in range(len(queue)):
        try:
            found.append(queue[index])
        except IndexError:
            break
    return tuple(found)


def newest_of_queue(queue: deque[_T], most: int) -> tuple[_T, ...]:
    """Copy the last ``most`` items of a deque, newest first, while other threads change it."""
    for _ in range(_TRIES_OF_A_QUEUE):
        try:
            return tuple(islice(reversed(queue), most))
        except RuntimeError:
            continue
    return snapshot_of_queue(queue)[: -most - 1 : -1]


def nothing() -> None:
    """Return None: what copies and pickles contain instead of the instrumentation's objects.

    Libraries' objects refer to leases, connections and trackers, whose ``__reduce__`` names this
    function. So a copy of the library's object has no such reference.
    """


def acquire(lock: Any, held: list[bool], timeout: float) -> bool:
    """Acquire a lock so that an exception raised by a signal handler cannot leave it held.

    Wait for at most ``timeout`` seconds, and return whether the lock was acquired. ``held`` is an
    empty list that receives the same answer.

    The release rule: call this function inside a ``try``, and release the lock in the ``finally``
    of the same function if ``held`` contains True. The return value is lost if a handler raises
    right after the lock was acquired, and another function can be interrupted before it releases.

    The timeout rule: pass a timeout where the garbage collector may run while the lock is held (the
    SDK allocates when it records, for example). A finalizer that logs then waits for the logging
    lock, and the holder of that lock, a log handler that sends over HTTP, may wait for this one.

    The local variable rule: keep the lock in a local variable until it is released. A signal
    handler may fork in between, and the child replaces the attribute that holds the lock.
    """
    # One call of C acquires and notes the result; no signal handler can run in between.
    held.extend(map(lock.acquire, (True,), (timeout,)))
    return held[0]

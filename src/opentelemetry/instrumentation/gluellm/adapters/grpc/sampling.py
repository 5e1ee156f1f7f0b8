"""Looks often at channels that are not ready while calls wait for them.

gRPC tells nobody in Python when a channel gets ready, unless by a thread or a task that waits in
it, for which the channel's closing would have to wait. So a thread of ours asks, which only reads a
number, and is there only while a call has not gone out: after 1 ms at first, then at every
twentieth of the time that it took so far, and every 100 ms in the end.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable

from ...concurrency import acquire, daemon_thread, snapshot_of
from ...failures import Failures
from ...pool.channel import TrackedChannel

_SHORTEST = 0.001
_LONGEST = 0.1
_SHARE = 1 / 20
_LOCK_TIMEOUT = 0.05

Look = Callable[[TrackedChannel], bool]
"""Looks at a channel; False where there is none any more."""


class Sampler:
    """The thread of one installation. It holds no channel."""

    def __init__(self, failures: Failures, clock: Callable[[], int]) -> None:
        self._failures = failures
        self._clock = clock
        self._wanted: dict[TrackedChannel, tuple[Look, int]] = {}
        """How to look at each channel, and since when."""
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        _samplers.add(self)

    def watch(self, channel: TrackedChannel, look: Look) -> None:
        """Look at a channel until no call waits for it."""
        if channel in self._wanted and self._thread is not None:
            return
        # Not without end: starting a thread allocates, so that the garbage collector may run a
        # finalizer in there, which logs, while who holds the log's lock waits here.
        # The one that was acquired: a signal handler may fork in here, and the child renews it.
        lock = self._lock
        held: list[bool] = []
        try:
            if not acquire(lock, held, _LOCK_TIMEOUT):
                return  # what this call waits for is told with less precision
            self._wanted.setdefault(channel, (look, self._clock()))
            if self._thread is None and not self._stopped.is_set():
                self._start()
        finally:
            if held and held[0]:
                lock.release()

    def stop(self) -> None:
        """End the thread and wait for it, a second at most."""
        with self._lock:
            self._stopped.set()
            thread, self._thread = self._thread, None
            self._wanted.clear()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=1.0)

    def after_fork_in_child(self) -> None:
        """The thread is the parent's, and its calls are."""
        self._lock = threading.RLock()
        self._thread = None
        self._wanted.clear()
        if not self._stopped.is_set():
            self._stopped = threading.Event()

    def _start(self) -> None:
        try:
            thread = daemon_thread(self._run, name="gluellm-grpc-channels")
        except RuntimeError as error:
            # Not in this interpreter, and no later call would get one.
            self._stopped.set()
            self._wanted.clear()
            self._failures.caught("grpc.watch", error)
            return
        self._thread = thread
        try:
            thread.start()
        except BaseException as error:
            # No more threads to be had, or the interpreter is about to end; or an interrupt.
            if not thread.is_alive():
                self._thread = None
            if not isinstance(error, Exception):
                raise
            self._failures.caught("grpc.watch", error)

    def _run(self) -> None:
        interval: float | None = _SHORTEST
        while interval is not None and not self._stopped.wait(interval):
            try:
                interval = self._pass()
            except Exception as error:
                self._failures.caught("grpc.watch", error)
                interval = _LONGEST
            if interval is None:
                with self._lock:
                    if self._wanted:
                        interval = _SHORTEST  # a call came while this was about to leave
                    elif self._thread is threading.current_thread():
                        self._thread = None

    def _pass(self) -> float | None:
        """Look at each channel once; seconds until the next time, None where there is none."""
        next_in: float | None = None
        for channel, (look, since) in snapshot_of(self._wanted.items):
            if not channel.waiting or not look(channel) or not channel.waiting:
                self._wanted.pop(channel, None)
                if channel.waiting and channel.tracker.open:
                    self._wanted[channel] = (look, self._clock())  # a call came meanwhile
                    next_in = _SHORTEST
                continue
            passed = (self._clock() - since) / 1e9
            interval = min(max(_SHORTEST, passed * _SHARE), _LONGEST)
            next_in = interval if next_in is None else min(next_in, interval)
        return next_in


_samplers: weakref.WeakSet[Sampler] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for sampler in snapshot_of(lambda: _samplers):
        sampler.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

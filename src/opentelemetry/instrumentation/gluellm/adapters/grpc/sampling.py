"""Polling of channels that are not ready while calls wait for them.

In Python, gRPC reports that a channel is ready only to a thread or task that waits inside the
channel, and the channel cannot be closed while one waits there. So a thread of the instrumentation
polls the state, which only reads a number. It runs only while a call has not been sent. The first
interval is 1 ms, then a twentieth of the time passed so far, at most 100 ms.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable

from ...concurrency import DaemonThread, in_forked_child, snapshot_of
from ...failures import Failures
from ...pool.durations import in_seconds
from .channel import ChannelTracker

_SHORTEST = 0.001
_LONGEST = 0.1
_SHARE = 1 / 20

Look = Callable[[ChannelTracker], bool]
"""Reads the state of a channel; returns False if the channel is gone."""


class Sampler:
    """The polling thread of one installation. It keeps no channel alive."""

    def __init__(self, failures: Failures, clock: Callable[[], int]) -> None:
        self._failures = failures
        self._clock = clock
        self._wanted: dict[ChannelTracker, tuple[Look, int]] = {}
        """How each channel is read, and since when (nanoseconds of the clock)."""
        self._thread = DaemonThread(self._run, "gluellm-grpc-channels", failures, "grpc.watch")
        _samplers.add(self)

    def watch(self, channel: ChannelTracker, look: Look) -> None:
        """Poll a channel until no call waits for it."""
        self._wanted.setdefault(channel, (look, self._clock()))
        self._thread.start()
        if self._thread.stopped.is_set():
            self._wanted.clear()

    def stop(self) -> None:
        """Stop the thread and wait for it, at most one second."""
        self._thread.stop()
        self._wanted.clear()

    def after_fork_in_child(self) -> None:
        """Drop the thread and the channels: they belong to the parent."""
        self._thread.after_fork_in_child()
        self._wanted.clear()

    def _run(self) -> None:
        interval: float | None = _SHORTEST
        stopped = self._thread.stopped
        while interval is not None and not stopped.wait(interval):
            try:
                interval = self._pass()
            except Exception as error:
                self._failures.caught("grpc.watch", error)
                interval = _LONGEST
            # A call may arrive while this thread is about to end.
            if interval is None and not self._thread.rests(lambda: self._wanted):
                interval = _SHORTEST

    def _pass(self) -> float | None:
        """Read each channel once; return seconds until the next pass, None if none is needed."""
        next_in: float | None = None
        for channel, (look, since) in snapshot_of(self._wanted.items):
            waiting = channel.waiting_calls
            if not waiting or not look(channel) or not waiting:
                self._wanted.pop(channel, None)
                if waiting and channel.open:
                    self._wanted[channel] = (look, self._clock())  # a call arrived meanwhile
                    next_in = _SHORTEST
                continue
            passed = in_seconds(self._clock() - since)
            interval = min(max(_SHORTEST, passed * _SHARE), _LONGEST)
            next_in = interval if next_in is None else min(next_in, interval)
        return next_in


_samplers: weakref.WeakSet[Sampler] = weakref.WeakSet()


@in_forked_child
def _after_fork_in_child() -> None:
    for sampler in snapshot_of(lambda: _samplers):
        sampler.after_fork_in_child()

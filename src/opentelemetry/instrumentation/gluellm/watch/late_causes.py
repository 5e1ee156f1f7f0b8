"""Why an event loop was late: a blocking call, a busy CPU, a CPU quota, the lock, or a stop.

Linux counts for each thread how long it ran, how long it was ready to run but did not, and how
often it got the CPU, and for each cgroup how long its quota stopped it. Without these counts, no
cause is given.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from operator import sub
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc/self")
_CGROUPS = Path("/sys/fs/cgroup")


PERIOD = 10**8
"""Nanoseconds between two firings of a loop's timer. Up to that much of each block is not
measured."""


class Usage(NamedTuple):
    """What a thread has used so far. Times are nanoseconds."""

    cpu: int = 0
    waited: int = 0
    """Time in which it was ready to run, but another thread had the CPU or a quota was used up."""
    turns: int = 0
    """How often it got the CPU."""
    others: int = 0
    """CPU time of the other threads of the process."""

    def since(self, before: Usage) -> Usage:
        return Usage(*map(sub, self, before))


class Split(NamedTuple):
    """Late time by what the loop's thread did meanwhile, in nanoseconds."""

    blocked: int = 0
    waited: int = 0
    locked: int = 0


def usage_of(thread: int) -> Usage | None:
    """Read the usage of a thread of this process, by its native ID; None if it is unknown."""
    try:
        cpu, waited, turns = map(int, (_PROC / f"task/{thread}/schedstat").read_text().split())
    except (OSError, ValueError):
        return None
    # A kernel that does not count writes zeros.
    return Usage(cpu, waited, turns, time.process_time_ns() - cpu) if cpu else None


def split(late: int, before: Usage | None, after: Usage | None, usual_turns: int) -> Split:
    """Split late time by the usage from the previous firing of the loop's timer to its end.

    ``usual_turns`` are the turns between two firings without a cause of lateness.
    """
    if before is None or after is None:
        return Split()
    cpu, waited, turns, others = after.since(before)
    asleep = late - cpu - waited
    # A thread that waits for the lock sleeps while other threads compute, at least for a quarter of
    # the time. CPython wakes it once per switch interval; one that waits for something else stays
    # asleep.
    wakes = (turns - usual_turns) * int(2 * sys.getswitchinterval() * 10**9)
    if min(asleep, others) * 4 >= late and wakes >= asleep:
        return Split(locked=late)
    # Beyond the period, a loop can only compute in one turn, which is late on an idle machine as
    # well. Other processes then only make it longer, by up to four times here.
    if 4 * (cpu - PERIOD) >= late:
        return Split(blocked=late)
    return Split(blocked=max(late - waited, 0), waited=min(waited, late))


class LateCauses:
    """Late time by cause, as far as the cause is known. Only the watch changes it."""

    def __init__(self) -> None:
        self.counted: Mapping[str, int] = {}
        self._passed: tuple[int, int, Usage | None] = (0, 0, None)
        """Clock, and the watch's thread with its usage, at its previous pass."""
        self._files = _cpu_stat_files()
        self._throttled = _throttled(self._files)

    def count(self, late: Split, now: int) -> None:
        """Count the late time since the previous call, at the watch's previous pass.

        A quota explains no more waiting than the time for which it stopped the process. A call that
        blocks the loop does not delay the watch. If a process is stopped (SIGSTOP, a frozen
        container), the watch, which waits for 1.25 s at most, is late as well, and no thread uses
        or wants the CPU.
        """
        last, thread, used = self._passed
        self._passed = now, threading.get_native_id(), usage_of(threading.get_native_id())
        before, self._throttled = self._throttled, _throttled(self._files)
        found = {"blocking_call": late.blocked, "interpreter_lock": late.locked}
        if used is not None and self._passed[1] == thread and self._passed[2] is not None:
            cpu, waited, _, others = self._passed[2].since(used)
            if 4 * (now - last - 125 * 10**7 - cpu - waited - others) >= late.blocked:
                found = {"process_stopped": late.blocked, "interpreter_lock": late.locked}
        if before is not None and self._throttled is not None:
            quota = max(min(late.waited, self._throttled - before), 0)
            found |= {"cpu_quota": quota, "cpu_contention": late.waited - quota}
        # A new dict, since readers keep the previous ones.
        self.counted = {**self.counted, **{c: n + self.counted.get(c, 0) for c, n in found.items()}}


def _cpu_stat_files() -> list[Path]:
    """Return the files with the throttled time of the process's cgroup and those around it.

    A quota can be set for any of them: in Kubernetes, for the container and for the pod.
    """
    try:
        lines = (_PROC / "cgroup").read_text().splitlines()
    except OSError:
        return []
    found: dict[Path, None] = {}
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = _CGROUPS / "cpu" if controllers else _CGROUPS  # cgroup v1 or v2
        own = root / path.lstrip("/")
        # In a container without a cgroup namespace, the path is the host's and only the root, which
        # is the container's own cgroup, can be read.
        for folder in (own, *own.parents):
            file = folder / "cpu.stat"
            if folder.is_relative_to(root) and _throttled([file]) is not None:
                found[file] = None
    return list(found)


def _throttled(files: list[Path]) -> int | None:
    """Return the nanoseconds for which quotas stopped the process; None if that is unknown."""
    total = None
    for file in files:
        try:
            counts = dict(line.split() for line in file.read_text().splitlines())
            micros, nanos = counts.get("throttled_usec", 0), counts.get("throttled_time", 0)
            total = (total or 0) + int(micros) * 1000 + int(nanos)
        except (OSError, ValueError):
            continue
    return total

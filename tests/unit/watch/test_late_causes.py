"""Causes of late loops, from the kernel's counts if it has them."""

import asyncio
import sys
import threading
import time
from operator import add
from pathlib import Path

import pytest

from opentelemetry.instrumentation.gluellm.watch import late_causes
from opentelemetry.instrumentation.gluellm.watch.late_causes import (
    LateCauses,
    Split,
    Usage,
    split,
    usage_of,
)

from .test_loop_lag import BLOCK, Real

MS = 1_000_000
LATE = 400 * MS
NOTHING = Usage(1, 0, 0, 0)


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system without any of the files."""
    monkeypatch.setattr(late_causes, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(late_causes, "_CGROUPS", tmp_path / "cgroup")
    return tmp_path


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        (Usage(2 * MS, 10 * MS, 9, 0), Split(blocked=390 * MS, waited=10 * MS)),  # it slept
        (Usage(390 * MS, 10 * MS, 60, 0), Split(blocked=LATE)),  # it computed
        (Usage(5 * MS, 450 * MS, 30, 0), Split(waited=LATE)),
        # It computed in one turn, and had half of a CPU, or a quarter of one.
        (Usage(250 * MS, 250 * MS, 60, 0), Split(blocked=LATE)),
        (Usage(200 * MS, 300 * MS, 60, 0), Split(blocked=LATE)),
        # The usual work within a period.
        (Usage(190 * MS, 310 * MS, 60, 0), Split(blocked=90 * MS, waited=310 * MS)),
        # Threads compute meanwhile. It waits for the lock only if it wakes up again and again.
        (Usage(2 * MS, 10 * MS, 70, 380 * MS), Split(locked=LATE)),
        (Usage(2 * MS, 10 * MS, 9, 380 * MS), Split(blocked=390 * MS, waited=10 * MS)),
        (Usage(2 * MS, 10 * MS, 70, 90 * MS), Split(blocked=390 * MS, waited=10 * MS)),
        (Usage(5 * MS, 390 * MS, 70, 380 * MS), Split(blocked=10 * MS, waited=390 * MS)),
    ],
)
def test_late_time_is_split_by_what_the_thread_did(used, expected):
    after = Usage(*(a + b for a, b in zip(NOTHING, used, strict=True)))
    assert split(LATE, NOTHING, after, 8) == expected
    assert split(LATE, None, after, 8) == split(LATE, NOTHING, None, 8) == Split()


@pytest.mark.parametrize("text", [None, "", "x y z", "0 0 0", "1 2", "é"])
def test_usage_of_a_thread_is_unknown(system, text):
    """There may be no /proc, another format, or a kernel that does not count."""
    if text is not None:
        write(system / "proc/task/7/schedstat", text)
    assert usage_of(7) is None


V1 = "4:cpuset:/\n1:cpu,cpuacct:/pod/box\n0::/\n"
V2 = "0::/pod/box\n"


@pytest.mark.parametrize(
    ("groups", "folder", "stat"),
    [
        (V1, "cpu/pod/box", "nr_throttled 1\nthrottled_time {nanos}\n"),
        (V1, "cpu", "throttled_time {nanos}\n"),  # a container that does not see its own path
        (V2, "pod/box", "usage_usec 1\nthrottled_usec {micros}\n"),
        (V2, "pod", "throttled_usec {micros}\n"),  # the quota of the pod
    ],
)
def test_waiting_is_due_to_a_quota_as_far_as_one_stopped_the_process(system, groups, folder, stat):
    write(system / "proc/cgroup", groups)
    file = system / "cgroup" / folder / "cpu.stat"
    write(file, stat.format(nanos=5_000_000_000, micros=5_000_000))
    causes = LateCauses()
    write(file, stat.format(nanos=5_300_000_000, micros=5_300_000))
    causes.count(Split(blocked=MS, waited=LATE), 0)
    expected = {"blocking_call": MS, "cpu_quota": 300 * MS, "cpu_contention": 100 * MS}
    assert {cause: late for cause, late in causes.counted.items() if late} == expected


@pytest.mark.parametrize("stat", [None, "throttled_usec many\n", "throttled_usec\n"])
def test_waiting_is_of_unknown_cause_if_no_quota_can_be_read(system, stat):
    write(system / "proc/cgroup", V2)
    if stat is not None:
        write(system / "cgroup/pod/box/cpu.stat", stat)
    causes = LateCauses()
    causes.count(Split(blocked=MS, waited=LATE, locked=2 * MS), 0)
    assert causes.counted == {"blocking_call": MS, "interpreter_lock": 2 * MS}


def test_process_without_a_quota_waits_for_other_work(system):
    """Its cgroup counts no throttled time, since it has no quota."""
    write(system / "proc/cgroup", V2)
    write(system / "cgroup/pod/box/cpu.stat", "usage_usec 1\n")
    causes = LateCauses()
    causes.count(Split(waited=LATE), 0)
    assert causes.counted["cpu_contention"] == LATE


@pytest.mark.parametrize(
    ("later", "used", "named"),
    [
        (2_500 * MS, Usage(2 * MS, MS, 3, 9 * MS), "process_stopped"),
        (1_200 * MS, Usage(2 * MS, MS, 3, 9 * MS), "blocking_call"),  # the watch was in time
        (2_500 * MS, Usage(2 * MS, 1_300 * MS, 3, 9 * MS), "blocking_call"),  # the host is busy
        (2_500 * MS, Usage(2 * MS, MS, 3, 1_300 * MS), "blocking_call"),  # others hold the lock
        (2_500 * MS, None, "blocking_call"),
    ],
)
def test_stopped_process_delays_the_watch_and_uses_no_cpu(monkeypatch, later, used, named):
    usages = iter([NOTHING, used and Usage(*map(add, NOTHING, used))])
    monkeypatch.setattr(late_causes, "usage_of", lambda _: next(usages))
    causes = LateCauses()
    causes.count(Split(), 5)
    causes.count(Split(blocked=LATE), 5 + later)
    assert causes.counted[named] == LATE


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what threads do")
@pytest.mark.parametrize("blocked", ["over", "now"])
def test_blocking_call_of_a_real_loop_is_named(blocked):
    """The cause is known after the call, and while it lasts."""
    found = {}

    async def call():
        real = Real(asyncio.get_running_loop())
        real.read()
        await asyncio.sleep(0.02)

        def look():
            time.sleep(BLOCK - 0.05)
            real.watch.run_pass()
            found.update(real.lag.recent_causes(time.monotonic_ns()))

        watching = threading.Thread(target=look)
        if blocked == "now":
            watching.start()
        time.sleep(BLOCK)
        await asyncio.sleep(0.02)
        if blocked == "over":
            watching.start()
        watching.join()

    asyncio.run(call())
    assert found["blocking_call"] > 0.05  # a busy machine adds other causes


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what threads do")
def test_no_cause_is_named_without_counts(system):
    async def call():
        real = Real(asyncio.get_running_loop())
        real.read()
        await asyncio.sleep(0.02)
        time.sleep(BLOCK)
        await asyncio.sleep(0.02)
        real.watch.run_pass()
        assert real.late
        return real.lag.recent_causes(time.monotonic_ns())

    assert asyncio.run(call()) == {}

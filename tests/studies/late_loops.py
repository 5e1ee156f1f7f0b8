"""Makes an event loop late for each of the four known reasons, and prints how often it is named.

``make -C tests/studies late-loops [ARGS=CAUSE]``; exits with 1 below 9 of 10. Each run is a process
of its own whose loop has a request in flight. Run as root: only root can set a CPU quota, and give
the other three a priority at which other programs of the machine do not make their loops late.
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from studies.figures import Parser

RUNS = 10
CAUSES = ("blocking_call", "cpu_contention", "cpu_quota", "interpreter_lock")
_CPU_V1, _CPU_V2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
CGROUPS = _CPU_V1 if _CPU_V1.is_dir() else _CPU_V2
_LASTS = 4.0
_SPIN = "while True: pass"


def main(causes: tuple[str, ...]) -> int:
    """Run each cause several times, print a table, and return the exit status."""
    failed = False
    for cause in causes or CAUSES:
        named = Counter(_named(cause, run) for run in range(RUNS))
        failed |= named[cause] < RUNS - 1
        print(f"{cause:17} {named[cause]:2} of {RUNS}  {dict(named)}", flush=True)
    return int(failed)


def _named(cause: str, run: int) -> str:
    """Run a program whose loop is late for a reason, and return the reason that it names."""
    with socket.create_server(("127.0.0.1", 0)) as silent, _surroundings(cause) as group:
        program = subprocess.run(
            [sys.executable, __file__, "run", cause, str(run), str(silent.getsockname()[1]), group],
            stdout=subprocess.PIPE,
            check=True,
            start_new_session=cause != "cpu_contention",
        )
    by_cause = json.loads(program.stdout)
    return max(by_cause, key=lambda name: float(by_cause[name]), default="none")


@contextlib.contextmanager
def _surroundings(cause: str) -> Iterator[str]:
    """Set up external causes of lateness. Yields the program's cgroup, or an empty string."""
    others: list[subprocess.Popen[bytes]] = []
    group = None
    if cause == "cpu_contention":
        spin = [sys.executable, "-c", _SPIN]
        others = [subprocess.Popen(spin) for _ in range(6 * len(os.sched_getaffinity(0)))]
    elif cause == "cpu_quota":
        group = CGROUPS / f"late-loops-{os.getpid()}"
        group.mkdir()
    try:
        yield str(group or "")
    finally:
        for other in others:
            other.kill()
            other.wait()
        if group is not None:
            group.rmdir()


def limit(group: Path, used: int, period: int) -> None:
    """Limit a cgroup (v1 or v2) to ``used`` of every ``period`` microseconds of a CPU."""
    if (group / "cpu.max").exists():
        (group / "cpu.max").write_text(f"{used} {period}")
    else:
        (group / "cpu.cfs_period_us").write_text(f"{period}")
        (group / "cpu.cfs_quota_us").write_text(f"{used}")


def own_cgroup() -> Path:
    """The cgroup of this process alone, once it has made and entered it."""
    return CGROUPS / f"own-{os.getpid()}"


def enter(group: Path) -> None:
    """Move this process into a cgroup."""
    group.mkdir(exist_ok=True)
    (group / "cgroup.procs").write_text(str(os.getpid()))


def _run(cause: str, run: int, port: int, group: str) -> None:
    """Make the loop late for a reason, and print the causes that the snapshot names."""
    import httpx

    if group:
        enter(Path(group))
    if cause != "cpu_contention":
        with contextlib.suppress(OSError):
            os.nice(-20)
            Path("/proc/self/autogroup").write_text("-20")  # nice counts per session
    GlueLLMInstrumentor().instrument(scope="all")

    async def program() -> None:
        url = f"http://127.0.0.1:{port}/"
        async with httpx.AsyncClient(timeout=60) as client:
            request = asyncio.create_task(client.get(url))
            await asyncio.sleep(2)
            if group:  # not earlier: under the quota, imports would take a minute
                limit(Path(group), 10_000, 200_000)
            if cause == "interpreter_lock":
                for _ in range(6):
                    threading.Thread(target=_compute, daemon=True).start()
            ends = time.monotonic() + _LASTS
            while time.monotonic() < ends:
                if cause == "blocking_call":
                    _block(run, port)
                elif cause in ("cpu_contention", "cpu_quota"):
                    _compute(0.02)
                await asyncio.sleep(0.05)
            await asyncio.sleep(1.1)  # for a pass of the watch
            print(json.dumps(snapshot().process.event_loop_late_causes))
            request.cancel()

    asyncio.run(program())
    sys.stdout.flush()
    os._exit(0)  # the computing threads don't end


def _block(run: int, port: int) -> None:
    """Block the loop: sleep, wait for a socket, or compute."""
    if run % 3 == 0:
        time.sleep(0.4)
    elif run % 3 == 1:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.settimeout(0.4)
            with contextlib.suppress(TimeoutError):
                connection.recv(1)
    else:
        _compute(0.4)


def _compute(seconds: float = 60.0) -> None:
    ends = time.thread_time() + seconds
    while time.thread_time() < ends:
        sum(range(1000))


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        _run(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
    else:
        parser = Parser("late-loops", __doc__)
        parser.add_argument("cause", nargs="*", choices=[*CAUSES, []], metavar="cause")
        raise SystemExit(main(tuple(parser.parse_args().cause)))

"""Instruction counts by ``valgrind --tool=cachegrind``; they repeat to 0.1 %.

One process loads everything and forks a child for each variant and run length; valgrind follows a
fork and writes a count for each process. The difference of two lengths is the cost of the
additional requests, without start-up, warm-up or any fixed part.
"""

import gc
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from studies.talking import FailedError, ran

Job = tuple[str, str, Callable[[int], None], tuple[int, int], int]
"""Group, variant, function to run with a length, its short and its long length, and the number of
counted operations per unit of length."""

TIMEOUT = 240.0
"""Seconds for one measurement."""
Counts = dict[str, dict[str, float]]
"""Instructions by group, then by variant."""


def available() -> bool:
    """Whether valgrind is installed."""
    return shutil.which("valgrind") is not None


def count(module: str, arguments: Iterable[str]) -> Counts:
    """Run ``python -m module``, which calls :func:`fork_each`, under valgrind.

    Raises FailedError if valgrind is missing or fails.
    """
    if not available():
        raise FailedError("valgrind is not installed")
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *"valgrind --tool=cachegrind --cache-sim=no".split(),
            f"--cachegrind-out-file={folder}/%p",
            *(sys.executable, "-m", module, *arguments),
        ]
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        output = ran(*command, env=environment, timeout=TIMEOUT)
        found: Counts = {}
        for line in output.splitlines():
            group, variant, short, long, divisor = json.loads(line)
            difference = _total(Path(folder, str(long))) - _total(Path(folder, str(short)))
            found.setdefault(group, {})[variant] = difference / divisor
        return found


def _total(path: Path) -> int:
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith("summary:"):
            return int(line.split()[1])
    raise ValueError(f"no summary in valgrind's output {path.name}")


def fork_each(jobs: Iterable[Job]) -> None:
    """Run every job at both of its lengths, each in a child, and exit."""
    gc.collect()
    gc.freeze()
    for group, variant, work, lengths, units in jobs:
        processes = [_fork(work, length) for length in lengths]
        divisor = (lengths[1] - lengths[0]) * units
        print(json.dumps([group, variant, *processes, divisor]), flush=True)
    os._exit(0)


def _fork(work: Callable[[int], None], length: int) -> int:
    process = os.fork()
    if not process:
        # The time of a garbage collection depends on all earlier allocations.
        gc.disable()
        work(length)
        # Skip the interpreter's shutdown, which would free what the requests left.
        os._exit(0)
    _, status = os.waitpid(process, 0)
    if status:
        raise SystemExit(f"a measured process ended with status {status}")
    return process

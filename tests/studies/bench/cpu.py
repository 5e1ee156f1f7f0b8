"""CPU time per request: with and without, in turn; medians over rounds.

Each state has a process, forked from one that has loaded everything and warmed up by itself; they
run their blocks of requests in turn. Processes that start for themselves differ by more than what
is measured, by where their memory happens to lie, and even forks do by a little, so there are
several generations. One process that turned the instrumentation on and off would wear out the
interpreter's caches of the classes that are patched. Wall time on a shared machine is noise, so it
is the process' own CPU time.

``python -m studies.bench.cpu`` prints one combination's numbers as JSON.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

from . import internals
from .exchange import CHUNKS
from .instructions import load
from .workload import (
    OFF,
    OURS,
    YARDSTICK,
    Combination,
    Instrumentation,
    Sdk,
    client,
    combination_named,
    run,
)

_GENERATIONS, _ROUNDS = 5, 12
_BLOCK, _WARM_UP = 100, 400
_STREAM_BLOCK, _STREAM_WARM_UP = 5, 10
_POOL_BLOCK, _POOL_WARM_UP = 500, 2000

_RUN, _END = b"r", b"e"

Took = dict[str, float]
"""Microseconds."""

Block = Callable[[], Awaitable[Took]]
Prepare = Callable[[str], Awaitable[Block]]
"""Sets a state up, warms up, and gives what is to be measured."""


def measure(combination: Combination) -> Took:
    """Microseconds of CPU, and ratios to what the yardstick adds."""
    return {**_requests(combination), **_chunks(combination), **_outside(combination)}


class _Worker:
    """A forked process that runs blocks when told to."""

    def __init__(self, library: str, prepare: Prepare, what: str) -> None:
        self._orders, self._answers = os.pipe(), os.pipe()
        self._process = os.fork()
        if not self._process:
            os.close(self._orders[1])
            run(library, functools.partial(self._work, library, prepare, what))
            os._exit(0)
        os.close(self._orders[0])
        os.close(self._answers[1])
        self._reading = os.fdopen(self._answers[0])
        self._reading.readline()

    async def _work(self, library: str, prepare: Prepare, what: str) -> None:
        sdk = Sdk()
        with sdk.span(), os.fdopen(self._answers[1], "w", buffering=1) as writing:
            Instrumentation(library, sdk).turn(what)
            block = await prepare(what)
            writing.write("ready\n")
            while os.read(self._orders[0], 1) == _RUN:
                gc.collect()
                writing.write(json.dumps(await block()) + "\n")

    def block(self) -> Took:
        """Let it run one block."""
        os.write(self._orders[1], _RUN)
        return dict(json.loads(self._reading.readline()))

    def end(self) -> None:
        """Let it go, and wait until it is gone."""
        # The workers that were forked later hold this pipe too: closing it ends nothing.
        os.write(self._orders[1], _END)
        os.close(self._orders[1])
        self._reading.close()
        os.waitpid(self._process, 0)


def _rounds(library: str, states: tuple[str, ...], prepare: Prepare) -> list[dict[str, Took]]:
    gc.collect()
    gc.freeze()
    found = []
    for _ in range(_GENERATIONS):
        workers = {what: _Worker(library, prepare, what) for what in states}
        for number in range(_ROUNDS):
            # Each state comes first, second and last equally often.
            shift = number % len(states)
            order = states[shift:] + states[:shift]
            found.append({what: workers[what].block() for what in order})
        for worker in workers.values():
            worker.end()
    return found


class _Stopwatch:
    def __init__(self) -> None:
        self._began = time.process_time_ns()

    def lap(self) -> float:
        """Microseconds since the last lap."""
        now = time.process_time_ns()
        took, self._began = (now - self._began) / 1e3, now
        return took


def _requests(combination: Combination) -> Took:
    async def prepare(what: str) -> Block:
        sending = client(combination)
        ours = what == OURS
        await sending.send(_WARM_UP, attributed=ours)

        async def block() -> Took:
            await sending.send(5, attributed=ours)
            if ours:
                internals.drain()
            watch = _Stopwatch()
            await sending.send(_BLOCK, attributed=ours)
            requests = watch.lap()
            if ours:
                internals.drain()
            return {"requests": requests / _BLOCK, "drain": watch.lap() / _BLOCK}

        return block

    rounds = _rounds(combination.library, (OFF, YARDSTICK, OURS), prepare)
    yardstick = [took[YARDSTICK]["requests"] - took[OFF]["requests"] for took in rounds]
    path = [took[OURS]["requests"] - took[OFF]["requests"] for took in rounds]
    drain = [took[OURS]["drain"] for took in rounds]
    all_in = [spent + drained for spent, drained in zip(path, drain, strict=True)]
    return {
        "request": statistics.median(took[OFF]["requests"] for took in rounds),
        "yardstick": statistics.median(yardstick),
        "path": statistics.median(path),
        "drain": statistics.median(drain),
        "path ratio": _median_ratio(path, yardstick),
        "all in ratio": _median_ratio(all_in, yardstick),
    }


def _median_ratio(parts: list[float], wholes: list[float]) -> float:
    return statistics.median(part / whole for part, whole in zip(parts, wholes, strict=True))


def _chunks(combination: Combination) -> Took:
    async def prepare(what: str) -> Block:
        sending = client(combination, streaming=True)
        await sending.stream(_STREAM_WARM_UP, attributed=what == OURS)

        async def block() -> Took:
            await sending.stream(1, attributed=what == OURS)
            watch = _Stopwatch()
            await sending.stream(_STREAM_BLOCK, attributed=what == OURS)
            return {"chunk": watch.lap() / _STREAM_BLOCK / CHUNKS}

        return block

    rounds = _rounds(combination.library, (OFF, OURS), prepare)
    return {
        "chunk": statistics.median(took[OURS]["chunk"] - took[OFF]["chunk"] for took in rounds),
        "plain chunk": statistics.median(took[OFF]["chunk"] for took in rounds),
    }


def _outside(combination: Combination) -> Took:
    """A pool that no any-llm call uses."""

    async def prepare(what: str) -> Block:
        using = client(combination)
        await using.use_pool(_POOL_WARM_UP)

        async def block() -> Took:
            await using.use_pool(20)
            watch = _Stopwatch()
            await using.use_pool(_POOL_BLOCK)
            return {"request": watch.lap() / _POOL_BLOCK}

        return block

    rounds = _rounds(combination.library, (OFF, OURS), prepare)
    return {
        "outside": statistics.median(
            took[OURS]["request"] - took[OFF]["request"] for took in rounds
        )
    }


def _main(name: str) -> None:
    combination = combination_named(name)
    load([combination])
    print(json.dumps(measure(combination)))


if __name__ == "__main__":
    _main(sys.argv[1])

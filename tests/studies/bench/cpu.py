"""CPU time per request, with and without the instrumentation; medians over rounds.

Each state has a process, forked from one that has loaded everything and warmed up; the processes
run their blocks of requests in turn. Processes that start separately differ by more than the
measured cost, because of their memory layout. Even forks differ a little, so there are several
generations. One process that turned the instrumentation on and off would wear out the interpreter's
caches of the patched classes. Wall time on a shared machine is noise, so the process' own CPU time
is measured.

``python -m studies.bench.cpu`` prints one combination's numbers as JSON.
"""

import gc
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from multiprocessing.connection import Connection
from operator import truediv

from . import internals
from .exchange import CHUNKS
from .instructions import load
from .workload import (
    DIRECT,
    OFF,
    OURS,
    YARDSTICK,
    Combination,
    Instrumentation,
    Sdk,
    client,
    run,
)

_GENERATIONS, _ROUNDS = 5, 12
_FORK = multiprocessing.get_context("fork")

Took = dict[str, float]
"""Microseconds."""

Block = Callable[[], Awaitable[Took]]
Prepare = Callable[[str], Awaitable[Block]]
"""Sets a state up, warms up, and returns the block to measure."""


def measure(combination: Combination) -> Took:
    """Microseconds of CPU, and ratios to what the yardstick adds."""
    requests = _requests(combination)
    return {**requests, **_chunks(combination), **_outside(combination)}


class _Worker:
    """A forked process that runs blocks on request."""

    def __init__(self, library: str, prepare: Prepare, what: str) -> None:
        self._connection, theirs = _FORK.Pipe()
        work = partial(self._work, library, prepare, what, theirs)
        self._process = _FORK.Process(target=run, args=(library, work))
        self._process.start()
        self._connection.recv()

    async def _work(self, library: str, prepare: Prepare, what: str, orders: Connection) -> None:
        sdk = Sdk()
        with sdk.span():
            Instrumentation(library, sdk).turn(what)
            block = await prepare(what)
            orders.send("ready")
            while orders.recv():
                gc.collect()
                orders.send(await block())

    def block(self) -> Took:
        """Run one block and return its times."""
        self._connection.send(True)
        return dict(self._connection.recv())

    def end(self) -> None:
        """End the process and wait for it."""
        self._connection.send(False)
        self._process.join()


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


def _measured(
    combination: Combination,
    states: tuple[str, ...],
    use: str,
    counts: tuple[int, int, int],
    *,
    streaming: bool = False,
) -> list[dict[str, Took]]:
    """Microseconds of each use, and of draining what it left, by state, for each round.

    ``use`` names the method of the client.
    ``counts``: uses to warm up once, to settle before a block, and in a block.
    """
    warm_up, settling, size = counts

    async def prepare(what: str) -> Block:
        ours = what in (OURS, DIRECT)
        sending = client(combination, streaming=streaming)
        using = partial(getattr(sending, use), attributed=what == OURS)
        await using(warm_up)

        async def block() -> Took:
            await using(settling)
            if ours:
                internals.drain()
            began = time.process_time_ns()
            await using(size)
            done = time.process_time_ns()
            if ours:
                internals.drain()
            drained = time.process_time_ns()
            return {"use": (done - began) / 1e3 / size, "drain": (drained - done) / 1e3 / size}

        return block

    return _rounds(combination.library, states, prepare)


def _more(rounds: list[dict[str, Took]], what: str = OURS) -> list[float]:
    return [took[what]["use"] - took[OFF]["use"] for took in rounds]


def _requests(combination: Combination) -> Took:
    states = (OFF, YARDSTICK, OURS, DIRECT)
    rounds = _measured(combination, states, "send", (400, 5, 100))
    yardstick, path = _more(rounds, YARDSTICK), _more(rounds)
    drain = [took[OURS]["drain"] for took in rounds]
    all_in = [spent + drained for spent, drained in zip(path, drain, strict=True)]
    request = statistics.median(took[OFF]["use"] for took in rounds)
    return {
        "request": request,
        "yardstick": statistics.median(yardstick),
        "path": statistics.median(path),
        "direct": statistics.median(_more(rounds, DIRECT)),
        "drain": statistics.median(drain),
        "all in": statistics.median(all_in),
        "all in ratio": statistics.median(map(truediv, all_in, yardstick)),
    }


def _chunks(combination: Combination) -> Took:
    rounds = _measured(combination, (OFF, OURS), "stream", (10, 1, 5), streaming=True)
    return {"chunk": statistics.median(_more(rounds)) / CHUNKS}


def _outside(combination: Combination) -> Took:
    """Measure a pool that no any-llm call uses."""
    rounds = _measured(combination, (OFF, OURS), "use_pool", (2000, 20, 500))
    return {"outside": statistics.median(_more(rounds))}


if __name__ == "__main__":
    print(json.dumps(measure(load(sys.argv[1]))))

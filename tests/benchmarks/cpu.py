"""CPU time per request: with and without, in turn; medians over rounds.

Every block of requests runs in a child that is forked for it from one warm process. Two processes
that start for themselves differ by more than what is measured, by where their memory happens to
lie; and one process that turns the instrumentation on and off wears out the interpreter's caches of
the classes that are patched. Wall time on a shared machine is noise, so it is the child's own CPU
time.

``python -m benchmarks.cpu`` prints one combination's numbers as JSON.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from . import internals
from .instructions import load
from .network import Backend, answer
from .workload import (
    CHUNKS,
    COMBINATIONS,
    HTTPX,
    OFF,
    OURS,
    Client,
    Combination,
    Instrumentation,
    Sdk,
    run,
)

_ROUNDS = 40
_BLOCK, _WARM_UP = 150, 60
_STREAM_BLOCK = 5
_POOL_BLOCK = 1000

Took = dict[str, float]
"""Microseconds."""


def measure(combination: Combination) -> Took:
    """Microseconds of CPU, and ratios to what the yardstick adds."""
    return {**_requests(combination), **_chunks(combination), **_outside(combination)}


def _forked(work: Callable[[], Took]) -> Took:
    """What ``work`` gives in a child."""
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        with os.fdopen(writing, "w") as pipe:
            json.dump(work(), pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(process, 0)
    return dict(json.loads(text))


def _rounds(states: tuple[str, ...], work: Callable[[str], Took]) -> list[dict[str, Took]]:
    gc.collect()
    gc.freeze()
    found = []
    for number in range(_ROUNDS):
        shift = number % len(states)
        # Each state comes first, second and last equally often.
        order = states[shift:] + states[:shift]
        found.append({what: _forked(lambda what=what: work(what)) for what in order})  # type: ignore[misc]
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
    def block(what: str) -> Took:
        took: Took = {"drain": 0.0}

        async def main() -> None:
            sdk = Sdk()
            client = Client(combination)
            Instrumentation(combination.library, sdk).turn(what)
            with sdk.span():
                await client.send(_WARM_UP, attributed=what == OURS)
                if what == OURS:
                    internals.drain()
                watch = _Stopwatch()
                await client.send(_BLOCK, attributed=what == OURS)
                took["requests"] = watch.lap() / _BLOCK
                if what == OURS:
                    internals.drain()
                    took["drain"] = watch.lap() / _BLOCK

        run(main)
        return took

    rounds = _rounds((OFF, HTTPX, OURS), block)
    yardstick = [took[HTTPX]["requests"] - took[OFF]["requests"] for took in rounds]
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
    def block(what: str) -> Took:
        took: Took = {}

        async def main() -> None:
            sdk = Sdk()
            client = Client.streaming(combination)
            Instrumentation(combination.library, sdk).turn(what)
            with sdk.span():
                await client.stream(2, attributed=what == OURS)
                watch = _Stopwatch()
                await client.stream(_STREAM_BLOCK, attributed=what == OURS)
                took["chunk"] = watch.lap() / _STREAM_BLOCK / CHUNKS

        run(main)
        return took

    rounds = _rounds((OFF, OURS), block)
    return {
        "chunk": statistics.median(took[OURS]["chunk"] - took[OFF]["chunk"] for took in rounds),
        "plain chunk": statistics.median(took[OFF]["chunk"] for took in rounds),
    }


def _outside(combination: Combination) -> Took:
    """A pool that no any-llm call uses, without a client around it, whose time would drown it."""
    core: Any = importlib.import_module(combination.library.replace("httpx", "httpcore"))

    def block(what: str) -> Took:
        pool = core.ConnectionPool(network_backend=Backend(answer(b"{}")))
        request = core.Request("GET", "http://api.openai.com/", headers=[("Host", "any")])
        Instrumentation(combination.library, Sdk()).turn(what)

        def send(count: int) -> None:
            for _ in range(count):
                response = pool.handle_request(request)
                for _part in response.stream:
                    pass
                response.close()

        send(_WARM_UP)
        watch = _Stopwatch()
        send(_POOL_BLOCK)
        return {"request": watch.lap() / _POOL_BLOCK}

    rounds = _rounds((OFF, OURS), block)
    return {
        "outside": statistics.median(
            took[OURS]["request"] - took[OFF]["request"] for took in rounds
        )
    }


def _main(name: str) -> None:
    (combination,) = (each for each in COMBINATIONS if str(each) == name)
    load([combination])
    print(json.dumps(measure(combination)))


if __name__ == "__main__":
    _main(sys.argv[1])

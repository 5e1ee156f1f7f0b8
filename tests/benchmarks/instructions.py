"""Instructions per request: ``python -m benchmarks.instructions`` is what valgrind runs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from . import counting, internals
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

WARM_UP = 40
_LENGTHS = (20, 220)
_STREAM_LENGTHS = (1, 4)


def measure(combinations: list[Combination], *, timeout: float) -> counting.Counts:
    """Instructions per request by combination and variant; per chunk for ``stream …``."""
    return counting.count(__name__, map(str, combinations), timeout=timeout)


def load(combinations: list[Combination]) -> None:
    """Import everything and run it once, which the forked processes then need not do."""
    for combination in combinations:
        instrumentation = Instrumentation(combination.library, Sdk())
        for what in (HTTPX, OURS, OFF):
            instrumentation.turn(what)
            client = Client(combination)
            run(lambda client=client: client.send(1, attributed=True))  # type: ignore[misc]


def requests(
    combination: Combination,
    what: str,
    length: int,
    *,
    sdk: bool = True,
    attributed: bool = False,
    drained: bool = False,
    span: bool = True,
    before: Callable[[], None] | None = None,
) -> None:
    """A warm client, then ``length`` requests; ``drained`` also records what they buffered.

    ``before`` runs once the instrumentation is on.
    """

    async def main() -> None:
        providers = Sdk() if sdk else None
        client = Client(combination)
        Instrumentation(combination.library, providers).turn(what)
        if before is not None:
            before()
        with contextlib.nullcontext() if providers is None or not span else providers.span():
            await client.send(WARM_UP, attributed=attributed)
            if what == OURS and attributed:
                if providers is None:
                    # Nobody collects, so the buffer fills until requests drain it themselves.
                    internals.fill(list(internals.waiting()), internals.capacity() // 2 + 1)
                    await client.send(2, attributed=True)
                else:
                    internals.drain()
            await client.send(length, attributed=attributed)
            if drained:
                internals.drain()

    run(main)


def _streams(combination: Combination, what: str, length: int) -> None:
    async def main() -> None:
        sdk = Sdk()
        client = Client.streaming(combination)
        Instrumentation(combination.library, sdk).turn(what)
        with sdk.span():
            await client.stream(2 + length, attributed=what == OURS)

    run(main)


def _jobs(combination: Combination) -> Iterator[counting.Job]:
    variants: dict[str, dict[str, Any]] = {
        "off": {"what": OFF},
        "yardstick": {"what": HTTPX},
        "ours": {"what": OURS, "attributed": True},
        "all in": {"what": OURS, "attributed": True, "drained": True},
        "off, no span": {"what": OFF, "span": False},
        "yardstick, no span": {"what": HTTPX, "span": False},
        "ours, no span": {"what": OURS, "attributed": True, "span": False},
        "all in, no span": {"what": OURS, "attributed": True, "drained": True, "span": False},
        "outside": {"what": OURS},
        "off, no SDK": {"what": OFF, "sdk": False},
        "ours, no SDK": {"what": OURS, "sdk": False, "attributed": True},
    }
    for variant, settings in variants.items():

        def work(length: int, settings: dict[str, Any] = settings) -> None:
            requests(combination, length=length, **settings)

        yield str(combination), variant, work, _LENGTHS, 1
    for what in (OFF, OURS):

        def stream(length: int, what: str = what) -> None:
            _streams(combination, what, length)

        variant = "stream ours" if what == OURS else "stream off"
        yield str(combination), variant, stream, _STREAM_LENGTHS, CHUNKS


def _main(names: list[str]) -> None:
    internals.leave_out_what_runs_by_the_clock()
    chosen = [combination for combination in COMBINATIONS if str(combination) in names]
    load(chosen)
    counting.fork_each(job for combination in chosen for job in _jobs(combination))


if __name__ == "__main__":
    _main(sys.argv[1:])

"""Instructions per request: ``python -m studies.bench.instructions`` is what valgrind runs."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

from . import counting, internals
from .exchange import CHUNKS
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

WARM_UP = 40
_LENGTHS = (20, 220)
_GRPC_LENGTHS = (50, 850)
"""More of them: gRPC's own threads poll now and then, which a count of few requests feels."""
_STREAM_LENGTHS = (1, 4)
_GRPC_STREAM_LENGTHS = (2, 22)


def measure(combinations: list[Combination], *, timeout: float) -> counting.Counts:
    """Instructions per request by combination and variant; per chunk for ``stream …``."""
    return counting.count(__name__, map(str, combinations), timeout=timeout)


def load(combinations: list[Combination]) -> None:
    """Import everything and run it once, which the forked processes then need not do."""
    for combination in combinations:
        instrumentation = Instrumentation(combination.library, Sdk())
        for what in (YARDSTICK, OURS, OFF):
            instrumentation.turn(what)
            if combination.library == "grpc":
                # gRPC's core, once it has run, is of no use in a fork.
                prepare_grpc()
            else:
                run(combination.library, functools.partial(_send_once, combination))


async def _send_once(combination: Combination) -> None:
    sending = client(combination)
    await sending.send(1, attributed=True)
    await sending.close()


def prepare_grpc() -> None:
    """Import gRPC and start the server, of which the forked processes share one."""
    from .clients.grpc_client import server

    server()


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
        Instrumentation(combination.library, providers).turn(what)
        sending = client(combination)
        if before is not None:
            before()
        with contextlib.nullcontext() if providers is None or not span else providers.span():
            await sending.send(WARM_UP, attributed=attributed)
            if what == OURS and attributed:
                if providers is None:
                    # Nobody collects, so the buffer fills until requests drain it themselves.
                    internals.fill(list(internals.waiting()), internals.capacity() // 2 + 1)
                    await sending.send(2, attributed=True)
                else:
                    internals.drain()
            await sending.send(length, attributed=attributed)
            if drained:
                internals.drain()

    run(combination.library, main)


def _streams(combination: Combination, what: str, length: int) -> None:
    async def main() -> None:
        sdk = Sdk()
        Instrumentation(combination.library, sdk).turn(what)
        sending = client(combination, streaming=True)
        with sdk.span():
            await sending.stream(2 + length, attributed=what == OURS)

    run(combination.library, main)


def _jobs(combination: Combination) -> Iterator[counting.Job]:
    variants: dict[str, dict[str, Any]] = {
        "off": {"what": OFF},
        "yardstick": {"what": YARDSTICK},
        "ours": {"what": OURS, "attributed": True},
        "all in": {"what": OURS, "attributed": True, "drained": True},
        "off, no span": {"what": OFF, "span": False},
        "yardstick, no span": {"what": YARDSTICK, "span": False},
        "ours, no span": {"what": OURS, "attributed": True, "span": False},
        "all in, no span": {"what": OURS, "attributed": True, "drained": True, "span": False},
        "outside": {"what": OURS},
        "off, no SDK": {"what": OFF, "sdk": False},
        "ours, no SDK": {"what": OURS, "sdk": False, "attributed": True},
    }
    for variant, settings in variants.items():

        def work(length: int, settings: dict[str, Any] = settings) -> None:
            requests(combination, length=length, **settings)

        lengths = _GRPC_LENGTHS if combination.library == "grpc" else _LENGTHS
        yield str(combination), variant, work, lengths, 1
    for what in (OFF, OURS):

        def stream(length: int, what: str = what) -> None:
            _streams(combination, what, length)

        variant = "stream ours" if what == OURS else "stream off"
        lengths = _GRPC_STREAM_LENGTHS if combination.library == "grpc" else _STREAM_LENGTHS
        yield str(combination), variant, stream, lengths, CHUNKS


def _main(names: list[str]) -> None:
    internals.leave_out_what_runs_by_the_clock()
    chosen = [combination_named(name) for name in names]
    load(chosen)
    counting.fork_each(job for combination in chosen for job in _jobs(combination))


if __name__ == "__main__":
    _main(sys.argv[1:])

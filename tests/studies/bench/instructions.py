"""Instructions per request: ``python -m studies.bench.instructions`` is what valgrind runs."""

import contextlib
import functools
import importlib
import sys
from collections.abc import Iterator
from typing import Any

from . import counting, internals
from .exchange import CHUNKS, OUTSIDE
from .workload import (
    DIRECT,
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
"""More requests: gRPC's threads poll now and then, which distorts a count over few."""
_STREAM_LENGTHS = (1, 4)
_GRPC_STREAM_LENGTHS = (2, 22)


def measure(combination: Combination) -> counting.Counts:
    """Instructions per request by combination and variant; per chunk for ``stream …``."""
    return counting.count(__name__, [str(combination)])


def load(name: str) -> Combination:
    """Import everything and run it once, so that forked processes don't have to."""
    combination = combination_named(name)
    instrumentation = Instrumentation(combination.library, Sdk())

    async def send_once() -> None:
        sending = client(combination)
        await sending.send(1, attributed=True)
        await sending.close()

    for what in (YARDSTICK, OURS, DIRECT, OFF):
        instrumentation.turn(what)
        if combination.library == "grpc":
            # gRPC's core doesn't work in a fork once it has run.
            importlib.import_module(f"{__package__}.clients.grpc_client").server()
        else:
            run(combination.library, send_once)
    return combination


def requests(
    combination: Combination,
    length: int,
    *,
    what: str,
    sdk: bool = True,
    attributed: bool = False,
    drained: bool = False,
    span: bool = True,
    outside: bool = False,
) -> None:
    """Warm up a client, and send ``length`` requests; ``drained`` also drains the outbox.

    Those that are ``outside`` call no model.
    """

    async def main() -> None:
        providers = Sdk() if sdk else None
        Instrumentation(combination.library, providers).turn(what)
        sending = client(combination)
        if outside:
            sending.url = OUTSIDE
        with contextlib.nullcontext() if providers is None or not span else providers.span():
            await sending.send(WARM_UP, attributed=attributed)
            if attributed or what == DIRECT:
                if providers is None:
                    # Without a collection, the buffer fills until requests drain it themselves.
                    outbox = internals.outbox()
                    internals.fill(list(outbox.items), outbox.capacity // 2 + 1)
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
    is_grpc = combination.library == "grpc"
    variants: dict[str, dict[str, Any]] = {
        "off, no SDK": {"what": OFF, "sdk": False},
        "ours, no SDK": {"what": OURS, "sdk": False, "attributed": True},
    }
    for suffix, span in (("", True), (", no span", False)):
        variants |= {
            f"off{suffix}": {"what": OFF, "span": span},
            f"yardstick{suffix}": {"what": YARDSTICK, "span": span},
            f"outside{suffix}": {"what": OURS, "span": span, "outside": True},
            f"ours{suffix}": {"what": OURS, "attributed": True, "span": span},
            f"direct{suffix}": {"what": DIRECT, "span": span},
            f"all in{suffix}": {"what": OURS, "attributed": True, "drained": True, "span": span},
        }
    lengths = _GRPC_LENGTHS if is_grpc else _LENGTHS
    for variant, settings in variants.items():
        work = functools.partial(requests, combination, **settings)
        yield str(combination), variant, work, lengths, 1
    lengths = _GRPC_STREAM_LENGTHS if is_grpc else _STREAM_LENGTHS
    for variant, what in (("stream off", OFF), ("stream ours", OURS)):
        work = functools.partial(_streams, combination, what)
        yield str(combination), variant, work, lengths, CHUNKS


if __name__ == "__main__":
    internals.leave_out_what_runs_by_the_clock()
    counting.fork_each(_jobs(load(sys.argv[1])))

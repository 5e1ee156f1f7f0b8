"""Instructions of an SDK's whole call: ``python -m studies.bench.sdk "openai async"``.

Of the call itself, of what the instrumentation adds to it, drain included, and, apart, of the
OpenTelemetry SDK's own work for the recorded values. Printed as JSON.
"""

import functools
import json
import sys
from collections.abc import Iterator
from typing import Any

from opentelemetry.sdk.metrics import Histogram

from . import counting, internals
from .instructions import WARM_UP, load, requests
from .workload import DIRECT, OFF, Combination, Instrumentation, Sdk, client, run

_LENGTHS = (20, 120)


def _records(combination: Combination, length: int) -> None:
    """Make a call, and record ``length`` times again what the drain recorded of it."""
    recorded: list[functools.partial[None]] = []
    original = Histogram.record

    def record(*args: Any, **kwargs: Any) -> None:
        recorded.append(functools.partial(original, *args, **kwargs))
        original(*args, **kwargs)

    async def main() -> None:
        sdk = Sdk()
        Instrumentation(combination.library, sdk).turn(DIRECT)
        sending = client(combination)
        with sdk.span():
            await sending.send(WARM_UP, attributed=False)
            internals.drain()
            recorded.clear()
            await sending.send(1, attributed=False)
            internals.drain()
            for _ in range(length):
                for again in recorded:
                    again()

    Histogram.record = record  # type: ignore[method-assign,assignment]
    run(combination.library, main)


def _jobs(combination: Combination) -> Iterator[counting.Job]:
    sending = functools.partial(requests, combination)
    variants = {
        "off": functools.partial(sending, what=OFF),
        "path": functools.partial(sending, what=DIRECT),
        "all in": functools.partial(sending, what=DIRECT, drained=True),
        "records": functools.partial(_records, combination),
    }
    for variant, work in variants.items():
        yield str(combination), variant, work, _LENGTHS, 1


def _measure(name: str) -> dict[str, float]:
    (counts,) = counting.count(__spec__.name if __spec__ else __name__, [name, "count"]).values()
    call, records = counts["off"], counts["records"]
    ours = counts["all in"] - call - records
    found = {"path": counts["path"] - call, "records": records, "all in": ours + records}
    shares = {f"{what}, %": 100 * value / call for what, value in found.items()}
    return {**found, **shares, "call": call, "share": 100 * ours / call}


if __name__ == "__main__":
    if sys.argv[2:] == ["count"]:
        internals.leave_out_what_runs_by_the_clock()
        counting.fork_each(_jobs(load(sys.argv[1])))
    else:
        print(json.dumps(_measure(sys.argv[1])))

"""Where the instructions of a request go: each seam and each observer's event taken out in turn.

What a request costs less without one seam is what the seam costs. ``make bench ARGS=--profile``
prints it; ``python -m studies.bench.breakdown`` is what valgrind runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.pool.observer import PoolObserver

from . import counting, internals
from .instructions import load, requests
from .workload import OFF, OURS, Combination, combination_named

_EVENTS = tuple(event for event in vars(PoolObserver) if event.startswith("lease_"))
_LENGTHS = (20, 120)
_GRPC_LENGTHS = (50, 650)
_NEEDED = frozenset(
    {"handle_request", "handle_async_request", "connect", "_release", "_get_conn", "_put_conn"}
    | {"__init__"}
)
"""Without these nothing is tracked or nothing ends, so all the others would fall with them."""
_OTHERS = ("HTTP2", "HTTPProxy", "SOCKSProxy")


def measure(combination: Combination) -> dict[str, float]:
    """Instructions of a request by what costs them; ``the request's seams`` is what is left."""
    counts = counting.count(__name__, [str(combination)])[str(combination)]
    whole = counts["ours"] - counts["off"]
    parts = {
        part: counts["ours"] - without
        for part, without in counts.items()
        if part not in {"ours", "off"}
    }
    parts["what is left: the request's own seam"] = whole - sum(parts.values())
    return dict(sorted(parts.items(), key=lambda part: -part[1])) | {"all": whole}


def _without_seam(name: str) -> None:
    for patch in internals.patches():
        if _name(patch) == name:
            patch.undo()


def _without_event(event: str) -> None:
    setattr(internals.installation().registry.observer, event, _nothing)


def _is_passed(combination: Combination) -> Callable[[str], bool]:
    """Tells the seams that a request of this kind passes, by their names."""
    core = combination.library.replace("httpx", "httpcore")
    asynchronous = combination.mode == "async"

    def is_passed(seam: str) -> bool:
        if not seam.startswith(f"{core}.") or seam.rpartition(".")[2] in _NEEDED:
            return False
        if core == "grpc":
            return seam.startswith("grpc.aio.")
        if not core.startswith("httpcore"):
            return True
        return ("Async" in seam) is asynchronous and not any(other in seam for other in _OTHERS)

    return is_passed


def _nothing(*args: Any) -> None:
    pass


def _name(patch: Any) -> str:
    owner = patch.owner()
    return f"{owner.__module__}.{owner.__qualname__}.{patch.name}"


def _jobs(combination: Combination, seams: list[str]) -> Iterator[counting.Job]:
    group = str(combination)

    def job(variant: str, what: str, before: Callable[[], None] | None = None) -> counting.Job:
        def work(length: int) -> None:
            requests(combination, what, length, attributed=what == OURS, before=before)

        lengths = _GRPC_LENGTHS if combination.library == "grpc" else _LENGTHS
        return group, variant, work, lengths, 1

    yield job("off", OFF)
    yield job("ours", OURS)
    for seam in seams:
        yield job(seam, OURS, partial(_without_seam, seam))
    for event in _EVENTS:
        yield job(f"observers of {event}", OURS, partial(_without_event, event))


def _main(name: str) -> None:
    internals.leave_out_what_runs_by_the_clock()
    combination = combination_named(name)
    load([combination])
    GlueLLMInstrumentor().instrument()
    seams = sorted(filter(_is_passed(combination), map(_name, internals.patches())))
    GlueLLMInstrumentor().uninstrument()
    counting.fork_each(_jobs(combination, seams))


if __name__ == "__main__":
    _main(sys.argv[1])

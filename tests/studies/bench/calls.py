"""Instructions of any-llm's calls: ``python -m studies.bench.calls`` prints them as JSON.

They are what a wrapped method costs more than the original, with and without requests in it.
"""

import contextlib
import functools
import json
import sys
from collections.abc import Iterator
from typing import Any

from opentelemetry.instrumentation.gluellm.attribution.calls import CallScope
from support.installation import installed

from . import counting, internals
from .workload import OFF, OURS, Instrumentation, Sdk, client, combination_named, run

_LENGTHS = (20, 120)
_WARM_UP = 40
_HTTPX2 = combination_named("httpx2 async")
_VARIANTS = {"no request": (0, False), "in a span": (0, True), "1": (1, False), "2": (2, False)}
"""Requests of a call, and whether the program has a current span."""


def _calls(length: int, *, what: str, requests: int, span: bool, warm_up: bool = False) -> None:
    """Warm up a client, make ``length`` calls, and turn all off after a ``warm_up``."""

    async def main() -> None:
        sdk = Sdk()
        instrumentation = Instrumentation(_HTTPX2.library, sdk)
        instrumentation.turn(what)
        sending = client(_HTTPX2)

        class Provider:
            PROVIDER_NAME = "openai"

            async def acompletion(self, model: str, **_: Any) -> str:
                for _request in range(requests):
                    await sending.send_one()
                return model

        if what == OURS:
            scope = CallScope(print, calls=installed().registry.calls)
            original: Any = Provider.acompletion
            Provider.acompletion = scope.around(original, "chat")  # type: ignore[method-assign]
        provider = Provider()
        with sdk.span() if span else contextlib.nullcontext():
            for number in range(_WARM_UP + length):
                if what == OURS and number == _WARM_UP:
                    internals.drain()
                await provider.acompletion("gpt-5", stream=False)
        if warm_up:
            instrumentation.turn(OFF)

    run(_HTTPX2.library, main)


def _jobs() -> Iterator[counting.Job]:
    for variant, (requests, span) in _VARIANTS.items():
        for what in (OFF, OURS):
            work = functools.partial(_calls, what=what, requests=requests, span=span)
            yield variant, what, work, _LENGTHS, 1


def _measure() -> dict[str, float]:
    counts = counting.count(__spec__.name if __spec__ else __name__, ["count"])
    found = {variant: by[OURS] - by[OFF] for variant, by in counts.items()}
    return {**found, "further": found["2"] - found["1"]}


if __name__ == "__main__":
    if sys.argv[1:] == ["count"]:
        internals.leave_out_what_runs_by_the_clock()
        _calls(1, what=OURS, requests=1, span=True, warm_up=True)
        counting.fork_each(_jobs())
    print(json.dumps(_measure()))

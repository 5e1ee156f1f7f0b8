"""Compares what is reported with the truth, at moments when nothing changes."""

import gc
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from studies.load.reading import Collection, fallen, never_falling, wrong_in_times

from .requests import SHORT, UNSEEN, Request
from .world import ACTIVE, CONNECTING, OPEN, PHASES, Truth, World

PATIENCE = 8.0
"""Seconds to wait for a condition."""
CALM = 0.005
"""Seconds without a change after which the state is stable."""


def wait_for(world: World, condition: Callable[[], Any], what: str) -> Any:
    """Wait until a condition is true, and return its result."""
    begun = collected = time.monotonic()
    while not (result := condition()):
        now = time.monotonic()
        if now > begun + PATIENCE:
            raise world.mismatch(f"not within {PATIENCE:g} s: {what}")
        if now > collected + 0.1:
            # Abandoned and cancelled requests may be in reference cycles. A finalizer of aiohttp
            # closes a connection with call_soon(), which does not wake a loop in another thread.
            if world.runner.portal is None:
                gc.collect()
            else:
                world.runner.portal.call(gc.collect)
            collected = time.monotonic()
        time.sleep(0.001)
    return result


def settle(world: World) -> None:
    """Wait until requests that can be served are at their server, and others are over or wait."""
    stable: list[Any] = [None, 0.0]

    def settled() -> bool:
        now = time.monotonic()
        state = [(request.is_over, request.phase) for request in world.in_flight]
        if state != stable[0]:
            stable[:] = state, now
        waiting = [request for request in world.in_flight if not request.is_over]
        # On HTTP/2 one stream's reader reads for all; another stream whose frames have come goes on
        # only when more frames come.
        http2 = world.pools[0].http2 is not None
        hasty = http2 or any(r.timeouts and r.phase == UNSEEN for r in waiting)
        if now - stable[1] < (2 * SHORT if hasty else min(CALM * world.slack, SHORT)):
            return False
        if any(not request.exchange.entered for request in waiting):
            return False
        if http2:
            return True
        if any(_goes_on(request) for request in waiting):
            return False
        served, expected = _in_service(world)
        # aiohttp hands out idle connections even if its limit is reached.
        return served == expected or (world.library.name == "aiohttp" and served > expected)

    wait_for(world, settled, "all that can be served is being served")


def _goes_on(request: Request) -> bool:
    if request.gate is None:  # it ends by itself once it is served
        return request.phase != UNSEEN
    # Else its client may not have seen yet what its server sent.
    return request.seen_at("head") is not None and not request.exchange.answered


def _in_service(world: World) -> tuple[int, float]:
    """How many requests have a connection in their pools, and how many must have one."""
    there = [r for r in world.in_flight if not r.is_over or r.is_held_for_ever]
    served = sum(request.phase != UNSEEN for request in there)
    groups = Counter((request.pool, request.pool.group(request.origin)) for request in there)
    places = (
        min(count, pool.limit - pool.lost[group] - pool.orphaned)
        for (pool, group), count in groups.items()
    )
    return served + world.truth()[CONNECTING].total(), sum(places)


def compare(world: World) -> None:
    """Compare what is reported with the truth of this moment, and how fast times grow."""
    measures = world.measures

    def agree() -> tuple[Truth, Collection] | None:
        before = world.truth()
        reported = Collection(world.telemetry.reader)
        if before != world.truth():
            return None
        differences = _differences(world, before, reported)
        if any(differences.values()):
            return None
        measures.compared.update(differences.keys())
        return before, reported

    try:
        agreed = wait_for(world, agree, "agreement")
    except AssertionError:
        shown, truth = _as_truth(Collection(world.telemetry.reader)), world.truth()
        names = {port: origin.kind for port, origin in world.ports.items()}
        lines = [f"  {name}: reported {shown[name]}, true {truth[name]}" for name in truth]
        what = "\n".join(["what is reported is not the truth", f"  ports {names}", *lines])
        raise world.mismatch(what) from None
    _compare_rates(world, *agreed)


def _as_truth(reported: Collection) -> Truth:
    return {
        ACTIVE: reported.by(semconv.ACTIVE_REQUESTS, "port"),
        PHASES: reported.by(semconv.REQUEST_CURRENT, "port", "phase"),
        OPEN: reported.by(semconv.OPEN_CONNECTIONS, "port"),
        CONNECTING: reported.by(semconv.CONNECTION_CONNECTING, "port"),
    }


def _differences(world: World, truth: Truth, reported: Collection) -> dict[str, int]:
    """By how much each quantity differs, apart from known differences."""
    shown, known = _as_truth(reported), world.measures.known
    found = {
        name: max((abs(one[key] - shown[name][key]) for key in one | shown[name]), default=0)
        for name, one in truth.items()
    }
    gone = sum(pool.gone_but_listed for pool in world.pools) if found[OPEN] else 0
    if gone and (shown[OPEN] - truth[OPEN]).total() == gone and not truth[OPEN] - shown[OPEN]:
        # Documented: idle connections include those that the peer has closed, until the pool drops
        # them.
        known["connections that the server has ended and the pool still lists"] += gone
        found[OPEN] = 0
    never = sum(pool.never_set_up for pool in world.pools)
    if never and (shown[CONNECTING] - truth[CONNECTING]).total() == never:
        known["connections that httpcore lists and never sets up"] += never
        found[CONNECTING] = 0
    return found


def _compare_rates(world: World, before: Truth, first: Collection) -> None:
    """While nothing moves, a phase's time grows by its requests times the time that passes."""
    time.sleep(0.005)
    second = Collection(world.telemetry.reader)
    if before != world.truth():  # a timeout expired, or the system reported it late
        return
    series = never_falling(second)
    wrong = wrong_in_times(first, second) + fallen(world.series, series)
    if wrong:
        raise world.mismatch("\n  ".join(wrong))
    world.series = series
    world.measures.compared["time of a phase while nothing moves"] += len(semconv.PHASES)
    world.measures.compared["series that never fall"] += len(world.series)

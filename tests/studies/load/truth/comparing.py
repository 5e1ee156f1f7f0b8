"""At a moment at which nothing moves: what is reported, beside what is true."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from studies.load.collection import Collection
from studies.load.invariants import fallen, never_falling, wrong_in_times

from .requests import UNSEEN, Request
from .world import Truth, World

PATIENCE = 8.0
"""Seconds after which what should come true has not."""

CALM = 0.005
"""Seconds without a change after which nothing moves."""

SHORT = 0.05
"""Seconds of the timeouts that are meant to strike."""


def wait_for(world: World, condition: Callable[[], Any], what: str) -> Any:
    """Wait until a condition is true, and return its result."""
    begun = collected = time.monotonic()
    while not (result := condition()):
        now = time.monotonic()
        if now > begun + PATIENCE:
            raise world.mismatch(f"not within {PATIENCE:g} s: {what}")
        if now > collected + 0.1:
            gc.collect()  # what was abandoned or cancelled may be in cycles
            collected = time.monotonic()
        time.sleep(0.001)
    return result


def settle(world: World) -> None:
    """Wait until all that can be served is held by its server, and all else is over or waits."""
    stable: list[Any] = [None, 0.0]

    def settled() -> bool:
        now = time.monotonic()
        state = [(request.is_over, request.phase) for request in world.under_way]
        if state != stable[0]:
            stable[:] = state, now
        waiting = [request for request in world.under_way if not request.is_over]
        # On HTTP/2 one stream's reader reads for all; another whose frames have come goes on only
        # when more come.
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
        # aiohttp gives out an idle connection whether its limit is reached or not.
        return served == expected or (world.library.name == "aiohttp" and served > expected)

    wait_for(world, settled, "all that can be served is being served")


def _goes_on(request: Request) -> bool:
    if not request.is_transient:
        # Its client has yet to see what its server sent.
        return request.seen_at("head") is not None and not request.exchange.answered
    return request.phase != UNSEEN


def _in_service(world: World) -> tuple[int, float]:
    """How many requests have a place in their pools, and how many must have one."""
    there = [r for r in world.under_way if r.has_place and (not r.is_over or r.is_held_for_ever)]
    served = sum(request.phase != UNSEEN for request in there)
    groups = Counter((request.pool, request.pool.group(request.origin)) for request in there)
    places = (
        min(count, pool.limit - pool.lost[group] - pool.in_nobodys_hands)
        for (pool, group), count in groups.items()
    )
    return served + sum(world.truth().connecting.values()), sum(places)


def compare(world: World) -> None:
    """Compare what is reported with what is true now, and how fast times go on."""
    measures = world.measures
    first_look = True

    def agree() -> tuple[Truth, Collection] | None:
        nonlocal first_look
        before = world.truth()
        reported = Collection(world.telemetry.reader)
        if before != world.truth():
            return None
        differences = _differences(world, before, reported)
        if first_look:
            for what, amount in differences.items():
                measures.late[what] += amount > 0
                measures.deviate(f"{what}, at the first look", amount)
        first_look = False
        if any(differences.values()):
            return None
        for what in differences:
            measures.compared[what] += 1
            measures.deviate(what, 0)
        return before, reported

    try:
        agreed = wait_for(world, agree, "agreement")
    except AssertionError:
        raise world.mismatch(_beside(world, world.truth())) from None
    _compare_rates(world, *agreed)


def _as_truth(reported: Collection) -> Truth:
    return Truth(
        reported.by(semconv.ACTIVE_REQUESTS, "port"),
        reported.by(semconv.REQUEST_CURRENT, "port", "phase"),
        reported.by(semconv.OPEN_CONNECTIONS, "port"),
        reported.by(semconv.CONNECTION_CONNECTING, "port"),
    )


def _differences(world: World, truth: Truth, reported: Collection) -> dict[str, int]:
    """By how much each quantity differs, where that is no known difference."""
    said, known = _as_truth(reported), world.measures.known
    found = {
        "open connections": _distance(said.open, truth.open),
        "connections being set up": _distance(said.connecting, truth.connecting),
        "active requests": _distance(said.active, truth.active),
        "requests by phase": _distance(said.phases, truth.phases),
    }
    gone = sum(pool.gone_but_listed for pool in world.pools) if found["open connections"] else 0
    if gone and (said.open - truth.open).total() == gone and not truth.open - said.open:
        # Documented: idle connections include what the peer has closed until the pool drops it.
        known["connections that the server has ended and the pool still lists"] += gone
        found["open connections"] = 0
    never = sum(pool.never_set_up for pool in world.pools)
    if never and (said.connecting - truth.connecting).total() == never:
        known["connections that httpcore lists and never sets up"] += never
        found["connections being set up"] = 0
    return found


def _distance(one: Counter[Any], other: Counter[Any]) -> int:
    return max((abs(one[key] - other[key]) for key in one | other), default=0)


def _beside(world: World, truth: Truth) -> str:
    """What was reported last and what is true, in words."""
    said = _as_truth(Collection(world.telemetry.reader))
    names = {port: origin.kind for port, origin in world.origins.ports.items()}
    lines = ["what is reported is not the truth", f"  ports {names}"]
    for field in ("active", "phases", "open", "connecting"):
        lines.append(f"  {field}: reported {getattr(said, field)}, true {getattr(truth, field)}")
    return "\n".join(lines)


def _compare_rates(world: World, before: Truth, first: Collection) -> None:
    """While nothing moves, a phase's time grows by its requests times the time that passes."""
    time.sleep(0.005)
    second = Collection(world.telemetry.reader)
    if before != world.truth():  # a timeout struck, or the system had it late
        return
    series = never_falling(second)
    wrong = wrong_in_times(first, second) + fallen(world.series, series)
    if wrong:
        raise world.mismatch("\n  ".join(wrong))
    world.series = series
    world.measures.compared["time of a phase while nothing moves"] += len(semconv.PHASES)
    world.measures.compared["series that never fall"] += len(world.series)

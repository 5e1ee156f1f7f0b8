"""Random requests: where to, how they are served, and what goes wrong with them."""

from __future__ import annotations

import random

from support.script import Failure, Reply

from .comparing import SHORT
from .pools import Pool
from .requests import Request
from .world import World

_SERVED = ("plain", "plain", "another plain", "tls")
_BEFORE_HEAD = (Failure.RESET_BEFORE_HEAD, Failure.EOF_BEFORE_HEAD)
_IN_BODY = (Failure.RESET_IN_BODY, Failure.EOF_IN_BODY)
_KINDS = {
    "held": 45,
    "served": 14,
    "broken": 12,
    "read timeout": 6,
    "refused": 4,
    "unreachable": 3,
    "distrusted": 4,
    "held tls": 8,
    "with an idle timeout": 6,
}
_STATUSES = (200, 200, 200, 201, 404, 429, 500, 503)


_KINDS_OF_HTTP2 = ("held", "held", "held", "served", "served", "broken")


def plan(
    world: World,
    pool: Pool,
    kinds: dict[str, int] = _KINDS,
    of_http2: tuple[str, ...] = _KINDS_OF_HTTP2,
) -> Request:
    """A request of one of these kinds, which have weights."""
    chance = world.chance
    (kind,) = chance.choices(list(kinds), list(kinds.values()))
    if pool.http2:
        kind = chance.choice(of_http2)
    request = world.request(pool, chance.choice(_SERVED))
    _fill(world, request, kind, chance)
    if kind not in ("held", "served"):
        names = {"broken": str(request.reply.failure), "held tls": "TLS handshake that is held"}
        world.measures.faults[names.get(kind, kind)] += 1
    # aiohttp's covers the queue and the set-up: which of them it struck would be unknown.
    is_both = pool.library == "aiohttp" and (
        request.origin.kind == "held tls" or "connect" in request.timeouts
    )
    if chance.random() < 0.15 and not is_both:
        request.timeouts["pool"] = SHORT
    return request


def _fill(world: World, request: Request, kind: str, chance: random.Random) -> None:
    status = chance.choice(_STATUSES)
    if kind == "held":
        _hold(world, request, status)
    elif kind == "served":
        request.reply = _served(chance, status, http2=bool(request.pool.http2))
        request.body = chance.choice((b"", b"", b"x" * 1000))
        if not request.pool.http2 and chance.random() < 0.1:
            request.headers = (("Connection", "close"),)
    elif kind == "broken":
        failures = (*_BEFORE_HEAD, *_IN_BODY)
        if request.pool.http2:  # an end of file would end the other streams of the connection
            failures = (Failure.RESET_BEFORE_HEAD, Failure.RESET_IN_BODY)
        request.reply = Reply(status=status, failure=chance.choice(failures))
    elif kind == "read timeout":
        never = world.origins.by_kind["plain"].server.gate()  # type: ignore[union-attr]
        where = chance.choice(("head_after", "end_after"))
        request.reply = Reply(status=status, **{where: never})
        request.timeouts["read"] = SHORT
    else:
        request.origin = world.origins.by_kind[kind]
        if kind == "unreachable" or (kind == "held tls" and chance.random() < 0.4):
            request.timeouts["connect"] = SHORT


def _served(chance: random.Random, status: int, *, http2: bool) -> Reply:
    if chance.random() < 0.15:
        return Reply(status=204, chunks=())
    headers = (("Connection", "close"),) if not http2 and chance.random() < 0.1 else ()
    delay = chance.choice((0.0, 0.0, 0.003))
    chunks = ((delay, b"x" * 100),) * chance.randint(1, 3)
    return Reply(delay, status, headers, chunks, end_after=delay)


def _hold(world: World, request: Request, status: int) -> None:
    chance = world.chance
    assert request.origin.server is not None
    request.gate = request.origin.server.gate()
    at_head = chance.random() < 0.4
    failures: tuple[Failure, ...] = (*_BEFORE_HEAD, *_IN_BODY) if at_head else _IN_BODY
    if request.pool.http2:
        failures = (Failure.RESET_IN_BODY,)
    failure = chance.choice(failures) if chance.random() < 0.25 else Failure.NONE
    if failure is not Failure.NONE:
        world.measures.faults[str(failure)] += 1
    if at_head:
        request.reply = Reply(head_after=request.gate, status=status, failure=failure)
        return
    request.reads = chance.random() < 0.5
    request.reply = Reply(status=status, end_after=request.gate, failure=failure)

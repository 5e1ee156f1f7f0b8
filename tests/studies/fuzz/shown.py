"""From a body to the screen, in this process: decoding, what is kept, and what is drawn."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from gluellm_pools.watch.answers import accepted, refused
from gluellm_pools.watch.decoding import Encoding, Signal, decode
from gluellm_pools.watch.display import LiveScreen
from gluellm_pools.watch.refusal import RefusedError
from support.otlp import as_json
from unit.gluellm_pools.watch.watched import URL, Watched

from .messages import arbitrary, shaped
from .recorded import mutated
from .target import Target, assert_clean
from .texts import anything

Body = tuple[Signal, Encoding, bytes]
_METRICS = (Signal.METRICS, Encoding.PROTOBUF)
_SIZES = st.one_of(
    st.sampled_from(((80, 24), (100, 40), (1, 1), (2, 3), (20, 5), (300, 8))),
    st.tuples(st.integers(1, 130), st.integers(1, 50)),
)
_JSON_KEYS = (
    "resourceMetrics resource attributes scopeMetrics scope name metrics sum dataPoints asInt "
    "resourceLogs traceId key"
).split()
_ANYTHING = anything(st.sampled_from(_JSON_KEYS), leaves=20)


def _as_json(message: Any) -> bytes:
    # A message nested more deeply than JSON's printer goes has no JSON.
    try:
        return as_json(message)
    except (RecursionError, ValueError):
        return b"{}"


def _of_metrics(messages: st.SearchStrategy[Any]) -> st.SearchStrategy[Body]:
    return st.one_of(
        _in_protobuf(messages.map(lambda one: one.SerializeToString())),
        messages.map(lambda one: (Signal.METRICS, Encoding.JSON, _as_json(one))),
    )


def _arbitrary(signal: Signal) -> st.SearchStrategy[Body]:
    return arbitrary(signal).map(lambda one: (signal, Encoding.PROTOBUF, one.SerializeToString()))


def _nested(depth: int) -> bytes:
    """An attribute of a resource, of lists in lists: of fields 5 and 1, in fields 1, 1, 1 and 2."""
    body = b""
    for number in (*(5, 1) * depth, 2, 1, 1, 1):
        length, rest = b"", len(body)
        while rest > 0x7F:
            length += bytes([rest & 0x7F | 0x80])
            rest >>= 7
        body = bytes([number << 3 | 2]) + length + bytes([rest]) + body
    return body


def _in_protobuf(bodies: st.SearchStrategy[bytes]) -> st.SearchStrategy[Body]:
    return bodies.map(lambda body: (*_METRICS, body))


SIGNALS = st.sampled_from(list(Signal))
BODIES: st.SearchStrategy[Body] = st.one_of(
    *[_of_metrics(shaped()), _in_protobuf(mutated())] * 2,
    SIGNALS.flatmap(_arbitrary),
    st.tuples(SIGNALS, st.sampled_from(list(Encoding)), st.binary(max_size=300)),
    _in_protobuf(st.sampled_from((10, 45, 60, 3000)).map(_nested)),
    st.tuples(SIGNALS, st.just(Encoding.JSON), _ANYTHING.map(lambda one: json.dumps(one).encode())),
)


class Shown(Target):
    """Some bodies, one after the other, on screens of some size."""

    name = "bodies from decoding to the screen"
    share = 0.28

    def inputs(self) -> st.SearchStrategy[Any]:
        steps = st.tuples(BODIES, st.sampled_from((0.0, 1.0, 6.0, 40.0, 400.0)))
        return st.tuples(st.lists(steps, min_size=1, max_size=4), _SIZES)

    def take(self, given_input: tuple[list[tuple[Body, float]], tuple[int, int]]) -> str:
        bodies, (width, height) = given_input
        lines, screen = Watched(width, height), Watched(width, height, terminal=True)
        plain = lines.plain()
        taken = False
        for body, wait in bodies:
            for watched in (lines, screen):
                taken |= _taken(watched, *body)
                watched.now += wait
                watched.intake.processes.drop_gone()
        with plain, LiveScreen(screen.console, URL, screen.intake, screen.notes) as live:
            for watched, shown in ((lines, plain), (screen, live)):
                shown.show()
                watched.now += 5
                shown.show()
                shown.close()
                assert_clean(watched.out.getvalue())
        return "shown" if taken else "refused"


def _taken(watched: Watched, signal: Signal, encoding: Encoding, body: bytes) -> bool:
    """Whether a body was taken in, or refused."""
    try:
        request = decode(signal, encoding, body)
    except RefusedError as error:
        if error.status not in (400, 413):
            raise AssertionError(error.status) from error
        refused(error, encoding)
        watched.notes.refused(error.status, "POST", f"/v1/{signal}", error.message)
        return False
    rejected = watched.intake.take(request)
    accepted(signal, encoding, rejected)
    if rejected.number:
        watched.notes.rejected(rejected.number, rejected.reason)
    return True

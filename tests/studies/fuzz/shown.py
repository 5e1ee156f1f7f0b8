"""Bodies, from decoding to the screen, in this process."""

import json
from typing import Any

from hypothesis import strategies as st

from gluellm_pools.watch.display import reports_of
from gluellm_pools.watch.intake import REQUESTS, ExportError
from support.otlp import field
from unit.gluellm_pools.watch.watched import Watched

from .messages import arbitrary, shaped
from .recorded import mutated
from .target import Target, assert_clean

Body = tuple[str, bytes]
"""Signal and body."""
_SIZES = st.one_of(
    st.sampled_from(((80, 24), (100, 40), (1, 1), (2, 3), (20, 5), (300, 8))),
    st.tuples(st.integers(1, 130), st.integers(1, 50)),
)


def _arbitrary(signal: str) -> st.SearchStrategy[Body]:
    return arbitrary(signal).map(lambda one: (signal, one.SerializeToString()))


def _nested(depth: int) -> bytes:
    """A resource with an attribute of lists in lists (fields 5 and 1 in fields 1, 1, 1 and 2)."""
    body = b""
    for number in (*(5, 1) * depth, 2, 1, 1, 1):
        body = field(number, body)
    return body


def _of_metrics(bodies: st.SearchStrategy[bytes]) -> st.SearchStrategy[Body]:
    return bodies.map(lambda body: ("metrics", body))


SIGNALS = st.sampled_from(list(REQUESTS))
BODIES: st.SearchStrategy[Body] = st.one_of(
    *[_of_metrics(shaped().map(lambda one: one.SerializeToString())), _of_metrics(mutated())] * 2,
    SIGNALS.flatmap(_arbitrary),
    st.tuples(SIGNALS, st.binary(max_size=300)),
    _of_metrics(st.sampled_from((10, 45, 60, 3000)).map(_nested)),
)


class Shown(Target):
    """Several bodies, one after the other, on screens of various sizes."""

    name = "bodies from decoding to the screen"

    def inputs(self) -> st.SearchStrategy[Any]:
        steps = st.tuples(BODIES, st.sampled_from((0.0, 1.0, 6.0, 40.0, 400.0)))
        return st.tuples(st.lists(steps, min_size=1, max_size=4), _SIZES)

    def take(self, given_input: tuple[list[tuple[Body, float]], tuple[int, int]]) -> str:
        bodies, (width, height) = given_input
        lines, live = Watched(width, height), Watched(width, height, terminal=True)
        displays = (lines, lines.lines()), (live, live.live())
        taken = False
        for body, wait in bodies:
            for watched, _ in displays:
                taken |= _taken(watched, *body)
                watched.now += wait
                watched.intake.processes.forget_gone()
        for watched, display in displays:
            display.start()
            display.show()
            watched.now += 5
            display.show()
            display.finish()
            assert_clean(watched.out.getvalue())
            json.dumps([report.as_json for report in reports_of(watched.intake.processes.values())])
        return "shown" if taken else "refused"


def _taken(watched: Watched, signal: str, body: bytes) -> bool:
    """Whether a body was accepted."""
    try:
        for reason in watched.intake.take(signal, body)[:1]:
            watched.intake.messages.add(reason)
    except ExportError as error:
        status, message = error.args
        if status not in (400, 413):
            raise AssertionError(error.args) from error
        watched.intake.messages.add(message)
        return False
    return True

"""Some seeded bad inputs of each kind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from .answers import Answers
from .living import Living
from .shown import Shown, Volley
from .stores import Stores
from .target import Target, assert_clean
from .wire import Mangled, Wire, statuses_of

SEED = 20_261_125
SECONDS = 60.0
"""Never reached: the numbers of inputs are what ends a target."""
NUMBERS: dict[type[Target], int] = {
    Wire: 25,
    Mangled: 50,
    Shown: 20,
    Volley: 1000,
    Living: 8,
    Stores: 15,
    Answers: 30,
}


@pytest.mark.parametrize("kind", NUMBERS, ids=lambda kind: kind.__name__)
def test_bad_input_harms_nothing(
    kind: type[Target], record_property: Callable[[str, object], None]
) -> None:
    """No crash, no traceback, no wrong status, nothing that a terminal would obey."""
    if kind is Answers and not hasattr(signal, "SIGUSR2"):
        pytest.skip("no such signals here")
    before = os.environ.copy()
    with kind() as target:
        target.run(SEED, SECONDS, NUMBERS[kind])
    assert not target.tally.failures, target.tally.failures[0]
    assert target.tally.inputs > NUMBERS[kind] // 2
    assert os.environ == before
    record_property("bad inputs", target.tally.inputs)
    record_property("largest time for one bad input, ms", target.tally.slowest * 1000)


@pytest.mark.parametrize("text", ["\x1b]0;x\x07", "\x9b2J", "a\u202eb", "\r\x00", "\x1b[31m"])
def test_what_a_terminal_obeys_is_seen(text: str) -> None:
    """Or the rest would prove nothing."""
    assert_clean("\x1b[2K\r\x1b[1A fine \u2588\n\x1b[?25l")
    with pytest.raises(AssertionError):
        assert_clean(f"before {text} after")


def test_answers_are_told_apart() -> None:
    """Several on one connection, and bytes that are none."""
    one = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nabc"
    assert statuses_of(b"HTTP/1.1 100 \r\n\r\n" + one + one) == [100, 400, 400]
    with pytest.raises(AssertionError):
        statuses_of(one + b"x")


class Failing(Target):
    """One that fails for some inputs."""

    name = "failing"
    share = 1.0

    def inputs(self):
        from hypothesis import strategies as st

        return st.integers()

    def take(self, given_input: int) -> str:
        assert given_input < 1000, "too large"
        return "small"


def test_a_failure_is_told_with_its_smallest_input() -> None:
    """And ends the target."""
    target = Failing()
    target.run(1, 30.0)
    (failure,) = target.tally.failures
    assert "given_input=1000" in failure
    assert "too large" in failure

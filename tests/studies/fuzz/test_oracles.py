"""What a run has to report as a failure."""

import pytest
from hypothesis import strategies as st

from .target import Target, assert_clean
from .wire import statuses_of


class Failing(Target):
    name = "failing"

    def inputs(self):
        return st.integers()

    def take(self, given_input: int) -> str:
        assert given_input < 1000, "too large"
        return "small"


def test_a_failure_is_reported_with_its_smallest_input() -> None:
    target = Failing()
    target.run(1, 30.0)
    (failure,) = target.failures
    assert "given_input=1000" in failure
    assert "too large" in failure


@pytest.mark.parametrize("text", ["\x1b]0;x\x07", "\x9b2J", "a\u202eb", "\r\x00", "\x1b[31m"])
def test_control_characters_are_detected(text: str) -> None:
    assert_clean("\x1b[2K\r\x1b[1A fine \u2588\n\x1b[?25l")
    with pytest.raises(AssertionError):
        assert_clean(f"before {text} after")


def test_responses_on_one_connection_are_separated_and_other_bytes_refused() -> None:
    one = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nabc"
    assert statuses_of(b"HTTP/1.1 100 \r\n\r\n" + one + one) == [100, 400, 400]
    with pytest.raises(AssertionError):
        statuses_of(one + b"x")

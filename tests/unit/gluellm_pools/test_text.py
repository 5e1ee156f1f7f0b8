"""Text for terminals."""

import pytest

from gluellm_pools.text import duration, percent, printable, seconds
from opentelemetry.instrumentation.gluellm.text import timeout_text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        *(("openai", "openai"), ("a\x1b[31mred", "a?[31mred"), ("a\nb\tc", "a?b?c"), (17, "17")),
        *(("a\u202e", "a?"), ("\u200bb", "?b"), ("\x9bc", "?c")),
        *(("x" * 41, "x" * 37 + "..."), ("x" * 40, "x" * 40)),
    ],
)
def test_control_characters_never_reach_the_terminal(raw, shown):
    """Escape sequences, line ends, direction marks and sheer length are taken out."""
    assert printable(raw) == shown


def test_durations_and_shares_have_two_significant_digits():
    """Two significant digits, and 0 only for exactly 0; whole percents."""
    values = (0, 0.0004, 0.0432, 0.512, 1.26, 600)
    shown = ["0 s", "<0.001 s", "0.043 s", "0.51 s", "1.3 s", "600 s"]
    assert [seconds(value) for value in values] == shown
    assert [seconds(value) for value in (7199, 7200, 3 * 86400)] == ["7199 s", "2 h", "72 h"]
    shares = {0.754: "75%", 0.006: "0.6%", 0.0001: "0.01%", 5e-07: "<0.01%"}
    assert [percent(share) for share in shares] == list(shares.values())
    assert [timeout_text(number) for number in (0.5, 600, 2e6)] == ["0.5 s", "600 s", "2000000 s"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("1h30m", 5400), ("500ms", 0.5), ("90", 90), ("0.5", 0.5)),
        *((wrong, None) for wrong in ("5x", "", "-5", "nan", "1e3", "\u0669", "\u0669m", "5m ")),
        ("9" * 1000 + "s", None),
    ],
)
def test_durations_are_parsed(text, expected):
    """As in PromQL; a plain number is seconds."""
    assert duration(text) == expected

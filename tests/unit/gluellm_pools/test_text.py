"""Text for terminals."""

import pytest

from gluellm_pools.text import duration, printable


def test_control_characters_never_reach_the_terminal():
    """Long text is shortened as well."""
    assert printable("a\x1b[31mred\n") == "a?[31mred?"
    assert [printable("x" * number) for number in (40, 41)] == ["x" * 40, "x" * 37 + "..."]


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

"""Text and numbers that break careless code."""

from hypothesis import strategies as st

HOSTILE = (
    "",
    "\x1b[2J\x1b[H\x1b]0;title\x07",
    "a\nb\rc\x08\x00",
    "\u202egnp.exe\u2066\u200b\ufeff",
    "[bold red]markup[/] :fire:",
    "漢字" * 40,
    "e" + "\u0301" * 200,
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "x" * 5000,
    "../../etc/passwd",
    "%s%n{0}{x!r}",
    "\x9b31m\x85\u2028",
)
TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=30))
"""Without lone surrogates, which UTF-8 can't encode."""
_NO_NUMBERS = (float("nan"), float("inf"), float("-inf"))
_WILD = (0.0, -0.0, 1.0, -1.0, 0.5, 1e15, -1e15, 1.1e15, 1e300, -1e300, 5e-324, *_NO_NUMBERS)
FLOATS = st.one_of(st.sampled_from(_WILD), st.floats())
_EDGES = (0, 1, 2, 5, 999, 10**15, 10**15 + 1, 2**31 - 1, 2**32, 2**63 - 1)


def integers(lowest: int, highest: int) -> st.SearchStrategy[int]:
    """Edge cases, and any integers."""
    edges = [lowest, highest, *(edge for edge in _EDGES if lowest <= edge <= highest)]
    return st.one_of(st.sampled_from(edges), st.integers(lowest, highest))

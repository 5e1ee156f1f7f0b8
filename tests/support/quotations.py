"""Lines that docs/deploy.md quotes, with … for what differs from case to case."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"


@cache
def _page() -> str:
    return " ".join(PAGE.read_text().split())


def assert_quoted_and_said(quotation: str, lines: Iterable[str]) -> None:
    """Assert that the page quotes this as code, and that one of the lines matches it."""
    assert f"`{quotation}`" in _page(), f"not in {PAGE.name}: {quotation}"
    pattern = ".*".join(map(re.escape, quotation.split("…")))
    logged = "\n".join(lines)
    assert re.search(pattern, logged), f"not logged: {quotation}\nlogged:\n{logged}"

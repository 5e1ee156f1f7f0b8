"""Prints the attribution table as Markdown: ``python -m tests.integration.attribution.table``.

Each line of it stands for the rows of ``test_table.py`` with that name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from .recipes import SENDS_NOTHING
from .rows import Row, rows


def lines() -> Iterator[str]:
    """The table: one line per public name, with the values that its rows have in each column."""
    yield "| call | sync or async | streaming | provider | origin of the client | operation |"
    yield "|---|---|---|---|---|---|"
    by_name: dict[str, list[Row]] = defaultdict(list)
    for row in rows():
        by_name[f"any_llm.{row.name}" if row.function else f"AnyLLM.{row.name}"].append(row)
    for name, group in by_name.items():
        kind = "async" if group[0].asynchronous else "sync"
        streaming = "no, yes" if any(row.streaming for row in group) else "no"
        providers = ", ".join(dict.fromkeys(row.provider for row in group))
        origins = ", ".join(dict.fromkeys(row.origin for row in group))
        operation = group[0].recipe.operation
        yield f"| `{name}` | {kind} | {streaming} | {providers} | {origins} | `{operation}` |"
    yield ""
    yield "Without a row, since they send nothing:"
    yield ""
    for name, reason in SENDS_NOTHING.items():
        yield f"- `AnyLLM.{name}`: {reason}"


if __name__ == "__main__":
    print("\n".join(lines()))

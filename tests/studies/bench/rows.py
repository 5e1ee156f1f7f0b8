"""The blocks of the table: one for each library, and one for what is the same for all of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from . import library_rows, package_rows
from .budget import Row
from .workload import FAMILIES, YARDSTICKS

GROUPS = (*library_rows.GROUPS, *package_rows.BUDGETS)


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that belong together."""

    title: str
    rows: tuple[Row, ...]


def blocks(groups: Collection[str] = (), libraries: Collection[str] = ()) -> Iterator[Block]:
    """Measure, block by block, the rows of these groups and libraries; of none: of all.

    What no library has of its own is left out where libraries are named and its group is not.
    """
    for family in FAMILIES:
        if libraries and family not in libraries:
            continue
        of_library = library_rows.budgets(family)
        chosen = [group for group in of_library if not groups or group in groups]
        if chosen:
            package = YARDSTICKS[family].package.replace("_", "-")
            yield Block(
                f"{family}, beside opentelemetry-instrumentation-{package}",
                tuple(budget.row() for group in chosen for budget in of_library[group]),
            )
    chosen = [group for group in package_rows.BUDGETS if group in (groups or _unless(libraries))]
    if chosen:
        yield Block(
            "whichever library",
            tuple(budget.row() for group in chosen for budget in package_rows.BUDGETS[group]),
        )


def _unless(libraries: Collection[str]) -> Collection[str]:
    return () if libraries else package_rows.BUDGETS

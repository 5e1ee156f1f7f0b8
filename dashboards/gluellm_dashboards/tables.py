"""Tables made of signals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model

from .links import Link
from .panels import REFERENCES, Line, Panel, common_parts, transformed
from .signals.signal import Signal
from .style import NOTHING, Steps, decimals, thresholds, unit

_NARROWEST: Final = 80
_LETTER: Final = 8
"""Pixels of a column, and of a letter in its title."""
_NO_VALUE: Final[list[object]] = [
    {"type": "special", "options": {"match": "null+nan", "result": {"index": 0, "text": "-"}}}
]
"""A dash for a missing value or a quantile of nothing."""
COLORED: Final = {"type": "color-text"}


@dataclass(frozen=True, slots=True)
class Column:
    """One signal as a column."""

    title: str
    signal: Signal
    steps: Steps = ()
    decimals: int | None = None

    @property
    def properties(self) -> dict[str, Any]:
        """Settings of its field."""
        digits = decimals(self.signal) if self.decimals is None else self.decimals
        found = {
            "unit": unit(self.signal),
            "mappings": _NO_VALUE,
            # So that its title is not cut.
            "custom.width": max(_NARROWEST - 8, _LETTER * len(self.title) + 24),
        }
        if digits is not None:
            found["decimals"] = digits
        if self.steps:
            found |= {"thresholds": thresholds(self.steps).build(), "custom.cellOptions": COLORED}
        return found


def rows(
    title: str,
    keys: Mapping[str, str],
    columns: Sequence[Column],
    *,
    description: str = "",
    links: Mapping[str, Sequence[Link]] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    sort: str,
    descending: bool = True,
    width: int = 24,
    height: int = 9,
    no_value: str = NOTHING,
) -> Panel:
    """Return a table with a row for each combination of ``keys``: labels with their headings.

    ``settings`` of further fields, and ``links``, are by their headings.
    """
    panel = (
        table.Panel()
        .show_header(True)
        .cell_height(options.TableCellHeight.SM)
        .min_width(_NARROWEST)
        .sort_by([common.TableSortByFieldState().display_name(sort).desc(descending)])
        .thresholds(thresholds(()))
    )
    # Grafana tells values apart by their query, where there are several.
    values = [f"Value #{one}" if len(columns) > 1 else "Value" for one in REFERENCES]
    headed = {**keys, **dict(zip(values, (one.title for one in columns), strict=False))}
    fields = {column.title: column.properties for column in columns}
    fields |= {name: dict(given) for name, given in (settings or {}).items()}
    for name, of in (links or {}).items():
        fields.setdefault(name, {})["links"] = [link.build() for link in of]
    for name, found in fields.items():
        panel.override_by_name(name, [model.DynamicConfigValue(*one) for one in found.items()])
    places = {name: index for index, name in enumerate(headed)}
    panel.with_transformation(transformed("merge"))
    panel.with_transformation(
        transformed(
            "organize", excludeByName={"Time": True}, indexByName=places, renameByName=headed
        )
    )
    shown = [Line(column.signal, by=tuple(keys)) for column in columns]
    return common_parts(
        panel, title, shown, width, height, description, no_value, (), instant=True, as_table=True
    )

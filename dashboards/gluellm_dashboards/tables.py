"""Tables made of signals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model

from .links import Link
from .panels import Line, Panel, common_parts, references
from .signals.signal import Signal
from .style import NOTHING, Steps, decimals, thresholds, unit
from .variables import WINDOW

_NARROWEST: Final = 80
_LETTER: Final = 8
"""Pixels of a column, and of a letter in its title."""
_NO_VALUE: Final[list[object]] = [
    {"type": "special", "options": {"match": "null+nan", "result": {"index": 0, "text": "-"}}}
]
"""A dash for a missing value or a quantile of nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One signal as a column."""

    title: str
    signal: Signal
    steps: Steps = ()
    window: str = WINDOW
    decimals: int | None = None


def rows(
    title: str,
    keys: Mapping[str, str],
    columns: Sequence[Column],
    *,
    description: str,
    links: Mapping[str, Sequence[Link]] | None = None,
    sort: str,
    recorded: bool = False,
    width: int = 24,
    height: int = 9,
    no_value: str = NOTHING,
) -> Panel:
    """Return a table with a row for each combination of ``keys``: labels with their headings."""
    panel = (
        table.Panel()
        .show_header(True)
        .cell_height(options.TableCellHeight.SM)
        .min_width(_NARROWEST)
        .sort_by([common.TableSortByFieldState().display_name(sort).desc(True)])
        .thresholds(thresholds(()))
    )
    headed = dict(keys)
    for reference, column in zip(references(), columns, strict=False):
        # Grafana tells values apart by their query, where there are several.
        headed[f"Value #{reference}" if len(columns) > 1 else "Value"] = column.title
        properties = [model.DynamicConfigValue("unit", unit(column.signal))]
        properties.append(model.DynamicConfigValue("mappings", _NO_VALUE))
        properties.append(model.DynamicConfigValue("custom.width", _width(column.title)))
        digits = decimals(column.signal) if column.decimals is None else column.decimals
        if digits is not None:
            properties.append(model.DynamicConfigValue("decimals", digits))
        if column.steps:
            properties += [
                model.DynamicConfigValue("thresholds", thresholds(column.steps).build()),
                model.DynamicConfigValue("custom.cellOptions", {"type": "color-text"}),
            ]
        panel.override_by_name(column.title, properties)
    for name, of in (links or {}).items():
        panel.override_by_name(
            name, [model.DynamicConfigValue("links", [link.build() for link in of])]
        )
    panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(
        model.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {"Time": True},
                "indexByName": {name: index for index, name in enumerate(headed)},
                "renameByName": headed,
            },
        )
    )
    shown = [
        Line(signal=column.signal, by=tuple(keys), window=column.window, recorded=recorded)
        for column in columns
    ]
    return common_parts(
        panel, title, shown, width, height, description, no_value, (), instant=True, as_table=True
    )


def _width(title: str) -> int:
    """Return the width of a column of numbers in pixels, so that its title is not cut."""
    return max(_NARROWEST - 8, _LETTER * len(title) + 24)

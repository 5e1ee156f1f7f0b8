"""Boards for import by hand.

Grafana replaces ``__inputs`` only if a file is imported on its pages. Provisioned files, the HTTP
API and the sidecar would show ``${DS_PROMETHEUS}`` literally. So the boards have a variable for the
data source and work everywhere, and this form asks for the data source during the import and lists
what is missing.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from .board import every_panel

_INPUT: Final = "DS_PROMETHEUS"
_OLDEST_GRAFANA: Final = "12.4.0"
_NAMES: Final = {"stat": "Stat", "table": "Table", "text": "Text", "timeseries": "Time series"}


def importable(board: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a board's document that asks for its data source when it is imported."""
    found = copy.deepcopy(board)
    chosen = f"${{{_INPUT}}}"
    for variable in found["templating"]["list"]:
        if variable["type"] == "datasource":
            variable["current"] = {"selected": True, "text": chosen, "value": chosen}
    types = sorted({panel["type"] for panel in every_panel(found)} - {"row"})
    return {
        "__inputs": [
            {
                "name": _INPUT,
                "label": "Prometheus",
                "description": "Where the metrics of the pools are stored.",
                "type": "datasource",
                "pluginId": "prometheus",
                "pluginName": "Prometheus",
            }
        ],
        "__elements": {},
        "__requires": [
            {"type": "grafana", "id": "grafana", "name": "Grafana", "version": _OLDEST_GRAFANA},
            {"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"},
            *({"type": "panel", "id": one, "name": _NAMES[one], "version": ""} for one in types),
        ],
        **found,
    }

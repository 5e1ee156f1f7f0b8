"""Evaluate recording rules for VictoriaMetrics, which needs vmalert for that."""

import json
from typing import Any, Final

from ..files import rules
from ..stores import VictoriaMetrics
from .playing import Story

_EVERY: Final = 1.0
"""Seconds between two evaluations."""


def record(story: Story) -> None:
    """Evaluate all recording rules over the demo, and store the results."""
    (store,) = (way.store for way in story.ways if isinstance(way.store, VictoriaMetrics))
    lines = []
    for rule in rules("record"):
        parameters = {
            "query": rule["expr"],
            "start": f"{story.began:.3f}",
            "end": f"{story.ended + _EVERY:.3f}",
            "step": f"{_EVERY:g}",
        }
        for row in store.ask("/api/v1/query_range", parameters)["result"]:
            lines.append(_line(rule["record"], row))
    status, text = store.post("/api/v1/import", "\n".join(lines))
    assert status == 204, text


def _line(name: str, row: dict[str, Any]) -> str:
    return json.dumps(
        {
            "metric": {**row["metric"], "__name__": name},
            "values": [float(value) for _, value in row["values"]],
            "timestamps": [round(float(at) * 1000) for at, _ in row["values"]],
        }
    )

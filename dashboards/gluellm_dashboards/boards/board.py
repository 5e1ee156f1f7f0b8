"""Parts that all boards share."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from .. import config
from ..annotations import annotation_queries
from ..links import between_boards
from ..panels import Panel
from ..variables import variables


@dataclass(frozen=True, slots=True)
class Row:
    """Panels below one heading."""

    title: str
    panels: Sequence[Panel]
    collapsed: bool = False
    """Whether the row is closed until it is clicked, for panels that most services do not need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One board, before it is written as a file."""

    uid: str
    title: str
    question: str
    rows: Sequence[Row]
    recorded: bool = False
    """Whether its queries use recording rules."""
    opens_with_first: Sequence[str] = ()
    """Variables of which the first value is selected when it opens; of the others, all are."""

    def text(self) -> str:
        """Return the JSON text, which is the same for each build."""
        return json.dumps(self.document(), indent=2, sort_keys=True) + "\n"

    def document(self) -> dict[str, Any]:
        """Return the content of the JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(self._built(), cls=JSONEncoder))
        _trim(plain)
        _close_up(plain["panels"])
        for number, panel in enumerate(every_panel(plain), 1):
            panel["id"] = number
        return plain

    def _built(self) -> model.Dashboard:
        board = (
            build.Dashboard(self.title)
            .uid(self.uid)
            .description(self.question)
            .tags([config.TAG])
            .editable()
            .tooltip(model.DashboardCursorSync.CROSSHAIR)
            .time("now-1h", "now")
            .refresh("30s")
            .timezone("browser")
            .variables(variables(recorded=self.recorded, opens_with_first=self.opens_with_first))
            .annotations(annotation_queries(recorded=self.recorded))
            .link(between_boards())
        )
        for row in self.rows:
            heading = build.Row(row.title)
            if row.title and not row.collapsed:
                board.with_row(heading)
            for panel in row.panels:
                (heading if row.collapsed else board).with_panel(panel)
            if row.collapsed:
                board.with_row(heading)
        return board.build()


def _trim(board: dict[str, Any]) -> None:
    """Remove fields that the builders add everywhere but that Grafana does not expect.

    A placement in the menu of controls would hide links and annotations there.
    """
    for variable in board["templating"]["list"]:
        for key in ("auto", "auto_min", "auto_count"):
            variable.pop(key, None)
    for one in (*board["annotations"]["list"], *board["links"]):
        one.pop("placement", None)
    for panel in every_panel(board):
        panel.pop("repeatDirection", None)
        # On the lines of Grafana that the boards are for, a footer is a setting of fields.
        panel.get("options", {}).pop("footer", None)
        fields = panel.get("fieldConfig", {"defaults": {}, "overrides": []})
        for links in (
            fields["defaults"].get("links", []),
            *(
                wanted["value"]
                for override in fields["overrides"]
                for wanted in override["properties"]
                if wanted["id"] == "links"
            ),
        ):
            links[:] = [{key: one[key] for key in ("title", "url", "targetBlank")} for one in links]


def every_panel(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the panels of a board's document; those of collapsed rows follow their row."""
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", [])


def _close_up(panels: list[dict[str, Any]]) -> None:
    """Move up the panels below a collapsed row: the builders reserve space for its panels."""
    room = 0
    for panel in panels:
        inside = panel.get("panels", [])
        for one in (panel, *inside):
            one["gridPos"]["y"] -= room
        begins = panel["gridPos"]["y"] + panel["gridPos"]["h"]
        ends = (one["gridPos"]["y"] + one["gridPos"]["h"] for one in inside)
        room += max(ends, default=begins) - begins

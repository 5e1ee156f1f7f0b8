"""Panels made of signals, in one style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Final

from grafana_foundation_sdk.builders import common, prometheus, stat, text, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

from .links import Link
from .signals.signal import Signal
from .style import DASH, NOTHING, Steps, decimals, thresholds, unit
from .variables import SOURCE, STEP, narrowed

Panel = Builder[model.Panel]

REFERENCES: Final = ascii_uppercase
"""Ids of the queries of a panel, in their order."""
_TOP_OF_ZEROS: Final = {"ratio": 0.1, "s": 0.1, "/s": 0.1}
"""Least upper end of an axis, by unit; 1 for others. For zeros only, Grafana would draw an axis to
100 or 10 000 %."""
_ROOM_BESIDE: Final = 12
"""Panels with at least this many columns have the legend beside the lines, others below."""
_ROWS_BELOW: Final = 3
"""Visible rows of a legend below the lines."""


@dataclass(frozen=True, slots=True)
class Line:
    """A signal in a panel."""

    signal: Signal
    legend: str = ""
    """Legend, with labels in double braces."""
    by: Sequence[str] = ()
    """Labels to group by, besides those that are part of the question."""
    top: int = 0
    """Number of highest series to show; 0 shows all."""
    step: str = STEP
    """Shortest step."""

    def expression(self) -> str:
        """Return the PromQL, narrowed by the board's variables."""
        found = narrowed(self.signal.query, by=self.by, recorded=self.signal.recorded)
        return f"topk({self.top}, {found})" if self.top else found


def lines(
    title: str,
    *shown: Line,
    width: int = 8,
    note: str = "",
    no_value: str = NOTHING,
    stacked: bool = False,
    colors: Mapping[str, str] | None = None,
    steps: Steps = (),
    most: float | None = None,
    links: Sequence[Link] = (),
    at_least_to: float = 0,
    calculations: Sequence[str] = ("last", "max"),
    order: Sequence[str] = (),
) -> Panel:
    """Return a time series panel, with a legend as a table.

    The description of its lines ends with ``note``. ``colors`` are by legend, or by a pattern in
    slashes. ``order`` sorts the legend of one query, which is otherwise sorted by labels. The axis
    ends at ``at_least_to`` or higher, so that small values do not look large. The legend shows a
    dash for a line that has ended, not its last value.
    """
    points, dashes = options.VisibilityMode, options.GraphThresholdsStyleMode
    panel = (
        timeseries.Panel()
        .min(0)
        .fill_opacity(70 if stacked else 8)
        .line_width(0 if stacked else 2)
        # On a stack they are beads.
        .show_points(points.NEVER if stacked else points.AUTO)
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
        .thresholds_style(
            common.GraphThresholdsStyleConfig().mode(dashes.DASHED if steps else dashes.OFF)
        )
        .legend(_legend(width, len(shown), calculations))
        .mappings([DASH])
        .tooltip(
            common.VizTooltipOptions()
            .mode(options.TooltipDisplayMode.MULTI)
            .sort(options.SortOrder.DESCENDING)
        )
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL).group("A"))
    if most is not None:
        panel.max(most)
    else:
        panel.axis_soft_max(at_least_to or _TOP_OF_ZEROS.get(shown[0].signal.query.unit, 1))
    for name, color in (colors or {}).items():
        override = panel.override_by_regexp if name.startswith("/") else panel.override_by_name
        override(name, [model.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": color})])
    for transformation in _ordered(order) if order else ():
        panel.with_transformation(transformation)
    # A threshold of a line is drawn over it; below the first there is none.
    panel.thresholds(thresholds(steps, below="transparent"))
    return common_parts(panel, title, shown, width, 9, _described(shown, note), no_value, links)


def _described(shown: Sequence[Line], note: str = "") -> str:
    """Return the descriptions of the lines; a list with their names if there are several."""
    parts = [(line.legend.partition("{{")[0].strip(" :"), line.signal.tells) for line in shown]
    parts = [(name, tells) for name, tells in parts if tells]
    if len(parts) == 1:
        return f"{parts[0][1]} {note}".strip()
    items = [f"- `{name}`: {tells}" if name else f"- {tells}" for name, tells in parts]
    return "\n".join([*items, "", note] if note else items)


def _ordered(names: Sequence[str]) -> Sequence[model.DataTransformerConfig]:
    """Return one table of all series, with its columns in this order."""
    places = {name: index for index, name in enumerate(("Time", *names))}
    return [
        transformed("joinByField", byField="Time", mode="outer"),
        transformed("organize", excludeByName={}, indexByName=places, renameByName={}),
    ]


def transformed(name: str, **given: object) -> model.DataTransformerConfig:
    """Return a transformation of a panel's answers."""
    return model.DataTransformerConfig(id_val=name, options=given)


def _legend(
    width: int, shown: int, calculations: Sequence[str]
) -> Builder[options.VizLegendOptions]:
    """Return a legend beside the lines or, if there is no room, below them."""
    legend = (
        common.VizLegendOptions()
        .display_mode(options.LegendDisplayMode.TABLE)
        .show_legend(True)
        .calcs(list(calculations))
    )
    if width >= _ROOM_BESIDE:
        return legend.placement(options.LegendPlacement.RIGHT)
    legend.placement(options.LegendPlacement.BOTTOM)
    if shown > _ROWS_BELOW:
        return legend.display_mode(options.LegendDisplayMode.LIST).calcs(["last"])
    # So that those are seen that are not zero.
    return legend.sort_by("Last").sort_desc(True)


def figure(
    title: str,
    signal: Signal,
    steps: Steps,
    *,
    width: int = 3,
    no_value: str = "no data",
    course: bool = False,
    links: Sequence[Link] = (),
) -> Panel:
    """Return a panel with the current number, with its ``course`` in the background if useful."""
    colored, drawn = options.BigValueColorMode, options.BigValueGraphMode
    panel = (
        stat.Panel()
        # A course behind digits on a ground of its colour would hide them.
        .color_mode(colored.VALUE if course else colored.BACKGROUND_SOLID)
        .graph_mode(drawn.AREA if course else drawn.NONE)
        .text_mode(options.BigValueTextMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["last"]).values(False))
        .thresholds(thresholds(steps))
    )
    if course:
        panel.min(0)
    shown = [Line(signal)]
    return common_parts(panel, title, shown, width, 4, "", no_value, links, instant=not course)


def words(title: str, content: str, *, width: int = 24, height: int = 3) -> Panel:
    """Return a text panel, in Markdown."""
    return (
        text.Panel()
        .title(title)
        .description("How to read this board.")
        .mode(TextMode.MARKDOWN)
        .content(content)
        .span(width)
        .height(height)
    )


def common_parts(
    panel: Any,  # the builders share these methods, and no class
    title: str,
    shown: Sequence[Line],
    width: int,
    height: int,
    description: str,
    no_value: str,
    links: Sequence[Link],
    *,
    instant: bool = False,
    as_table: bool = False,
) -> Panel:
    """Set what panels of every kind have."""
    panel.title(title).span(width).height(height).datasource(SOURCE).no_value(no_value)
    panel.description(description or _described(shown))
    panel.unit(unit(shown[0].signal)).data_links(list(links))
    digits = decimals(shown[0].signal, axis=not instant)
    if digits is not None and not as_table:
        panel.decimals(digits)
    for reference, line in zip(REFERENCES, shown, strict=False):
        panel.with_target(_target(line, reference, instant, as_table))
    built: Panel = panel
    return built


def _target(line: Line, reference: str, instant: bool, as_table: bool) -> prometheus.Dataquery:
    query = (
        prometheus.Dataquery()
        .datasource(SOURCE)
        .expr(line.expression())
        .interval(line.step)
        .legend_format(line.legend or "__auto")
        .ref_id(reference)
        .format(PromQueryFormat.TABLE if as_table else PromQueryFormat.TIME_SERIES)
        .exemplar(not instant and "histogram_quantile" in line.expression())
    )
    return query.instant() if instant else query.range()

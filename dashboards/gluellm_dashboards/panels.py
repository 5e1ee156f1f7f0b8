"""Panels made of signals, in one style."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    prometheus,
    stat,
    text,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

from .links import Link
from .signals.signal import Signal
from .style import DASH, NOTHING, Steps, decimals, thresholds, unit
from .variables import (
    CALL_MATCHERS,
    MATCHERS,
    PROCESS_MATCHERS,
    RECORDED_CALL_MATCHERS,
    RECORDED_MATCHERS,
    RECORDED_PROCESS_MATCHERS,
    SOURCE,
    STEP,
    WINDOW,
)

Panel = Builder[model.Panel]

_TOP_OF_ZEROS: Final = {
    "ratio": 0.1,
    "s": 0.1,
    "/s": 0.1,
    "/min": 1,
    "s/min": 1,
    "s/s": 1,
    "": 1,
}
"""Least upper end of an axis, by unit. For zeros only, Grafana would draw an axis to 100 or 10 000
%."""

_ROOM_BESIDE: Final = 12
"""Panels with at least this many columns have the legend beside the lines, others below."""
_HEIGHTS: Final = {True: 8, False: 9}
"""Heights of panels, with the legend beside the lines or below."""
_ROWS_BELOW: Final = 3
"""Visible rows of a legend below the lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A signal in a panel."""

    signal: Signal
    legend: str = ""
    """Legend, with labels in double braces."""
    by: Sequence[str] | None = None
    """Labels to group by, if they differ from the signal's own."""
    window: str = WINDOW
    recorded: bool = False
    """Whether it uses recording rules, whose series have no version."""
    top: int = 0
    """Number of highest series to show; 0 shows all."""
    step: str = STEP
    """Shortest step."""

    def expression(self) -> str:
        """Return the PromQL, narrowed by the board's variables."""
        found = self.signal.query.promql(
            RECORDED_MATCHERS if self.recorded else MATCHERS,
            self.window,
            by=self.by,
            calls=RECORDED_CALL_MATCHERS if self.recorded else CALL_MATCHERS,
            process=RECORDED_PROCESS_MATCHERS if self.recorded else PROCESS_MATCHERS,
        )
        return f"topk({self.top}, {found})" if self.top else found


def lines(
    title: str,
    shown: Sequence[Line],
    *,
    width: int = 12,
    height: int | None = None,
    note: str = "",
    no_value: str = NOTHING,
    stacked: bool = False,
    colors: Mapping[str, str] | None = None,
    patterns: Mapping[str, str] | None = None,
    steps: Steps = (),
    most: float | None = None,
    links: Sequence[Link] = (),
    at_least_to: float = 0,
    calculations: Sequence[str] = ("last", "max"),
    order: Sequence[str] = (),
) -> Panel:
    """Return a time series panel, with a legend as a table.

    The description of its lines ends with ``note``. ``order`` sorts the legend of one query, which
    is otherwise sorted by labels. The axis ends at ``at_least_to`` or higher, so that small values
    do not look large. The legend shows a dash for a line that has ended, not its last value.
    """
    panel = (
        timeseries.Panel()
        .min(0)
        .fill_opacity(70 if stacked else 8)
        .line_width(0 if stacked else 2)
        # On a stack they are beads.
        .show_points(options.VisibilityMode.NEVER if stacked else options.VisibilityMode.AUTO)
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
        .thresholds_style(
            common.GraphThresholdsStyleConfig().mode(
                options.GraphThresholdsStyleMode.DASHED
                if steps
                else options.GraphThresholdsStyleMode.OFF
            )
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
        panel.axis_soft_max(at_least_to or _TOP_OF_ZEROS[shown[0].signal.query.unit])
    for pattern, color in (patterns or {}).items():
        panel.override_by_regexp(pattern, [_fixed(color)])
    for name, color in (colors or {}).items():
        panel.override_by_name(name, [_fixed(color)])
    for transformation in _ordered(order) if order else ():
        panel.with_transformation(transformation)
    # A threshold of a line is drawn over it; below the first there is none.
    bounds = [model.Threshold(value=None, color="transparent")]
    bounds += [model.Threshold(value=value, color=color) for value, color in steps]
    panel.thresholds(build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(bounds))
    tall = height or _HEIGHTS[width >= _ROOM_BESIDE]
    return common_parts(panel, title, shown, width, tall, _described(shown, note), no_value, links)


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
        model.DataTransformerConfig(
            id_val="joinByField", options={"byField": "Time", "mode": "outer"}
        ),
        model.DataTransformerConfig(
            id_val="organize",
            options={"excludeByName": {}, "indexByName": places, "renameByName": {}},
        ),
    ]


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
    height: int = 4,
    by: Sequence[str] = (),
    window: str = WINDOW,
    no_value: str = "no data",
    recorded: bool = False,
    course: bool = False,
    links: Sequence[Link] = (),
) -> Panel:
    """Return a panel with the current number, with its ``course`` in the background if useful."""
    panel = (
        stat.Panel()
        # A course behind digits on a ground of its colour would hide them.
        .color_mode(
            options.BigValueColorMode.VALUE
            if course
            else options.BigValueColorMode.BACKGROUND_SOLID
        )
        .graph_mode(options.BigValueGraphMode.AREA if course else options.BigValueGraphMode.NONE)
        .text_mode(options.BigValueTextMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["last"]).values(False))
        .thresholds(thresholds(steps))
    )
    if course:
        panel.min(0)
    shown = [Line(signal=signal, by=by, window=window, recorded=recorded)]
    return common_parts(panel, title, shown, width, height, "", no_value, links, instant=not course)


def bars(
    title: str,
    shown: Sequence[Line],
    steps: Steps,
    *,
    width: int = 8,
    height: int = 8,
    most: float | None = None,
    description: str = "",
    no_value: str = NOTHING,
    links: Sequence[Link] = (),
) -> Panel:
    """Return a panel with a bar for each current value."""
    panel = (
        bargauge.Panel()
        .orientation(options.VizOrientation.HORIZONTAL)
        .display_mode(options.BarGaugeDisplayMode.BASIC)
        .value_mode(options.BarGaugeValueMode.TEXT)
        .show_unfilled(True)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .text(common.VizTextDisplayOptions().title_size(14).value_size(18))
        .thresholds(thresholds(steps))
        .min(0)
    )
    if most is not None:
        panel.max(most)
    return common_parts(
        panel, title, shown, width, height, description, no_value, links, instant=True
    )


def _fixed(color: str) -> model.DynamicConfigValue:
    return model.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": color})


def words(title: str, content: str, *, width: int = 24, height: int = 4) -> Panel:
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
    for reference, line in zip(references(), shown, strict=False):
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
    )
    asked: Callable[[], prometheus.Dataquery] = query.instant if instant else query.range
    asked()
    return query.exemplar(not instant and "histogram_quantile" in line.expression())


def references() -> Sequence[str]:
    """Yield the reference ids of the queries of a panel, in their order."""
    return [chr(ord("A") + index) for index in range(26)]

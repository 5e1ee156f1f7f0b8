"""Units, colours, and what a panel says that has no data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

from .signals.signal import Signal

NOTHING: Final = "No data: is a service exporting? Run gluellm-pools verify."
"""What a panel says that should have data as soon as there is a pool."""
GREEN: Final = "green"
ORANGE: Final = "orange"
RED: Final = "red"
NEUTRAL: Final = "#6e7178"
"""Of what says nothing: no data is not green."""
Steps = Sequence[tuple[float, str]]
"""From which value on which colour."""

_UNITS: Final = {
    "s": "s",
    "ratio": "percentunit",
    "/s": "suffix:/s",
    "/min": "suffix:/min",
    "s/min": "suffix:s/min",
    "s/s": "short",
    "": "short",
}
_DECIMALS: Final = {"ratio": 0, "": 0, "s/s": 1}
"""Of the units that Grafana would write with more digits than tell something."""
_DECIMALS_BESIDE_AXIS: Final = _DECIMALS | {"ratio": 1}
"""Without any, an axis has whole numbers for steps, and 1 is 100 % already."""
DASH: Final = model.SpecialValueMap(
    model.DashboardSpecialValueMapOptions(
        model.SpecialValueMatch.NULL_AND_NAN, model.ValueMappingResult(text="-")
    )
)
"""What a legend says of a line that has ended: else it is all that the panel says without data."""
POOLS_COLORS: Final = {"connecting": "#ff9830", "queued": "#c4162a", "stream_queued": "#f2495c"}
PROVIDERS_COLORS: Final = {"awaiting_response": "#1f60c4", "reading": "#8ab8ff"}
APPLICATIONS_COLORS: Final = {"unread": "#a352cc"}
STAGE_COLORS: Final = {
    "requesting": "#1f60c4",
    "backoff": "#c4162a",
    "limited": "#ff9830",
    "preparing": "#a352cc",
    "finishing": "#ca95e5",
}
"""Of calls: with a request in flight blue, waiting warm, the application purple."""
PHASE_COLORS: Final = PROVIDERS_COLORS | POOLS_COLORS | APPLICATIONS_COLORS
"""From the bottom of a stack: the provider's blue, the pool's warm, the application's purple."""


def unit(signal: Signal) -> str:
    """As Grafana calls it."""
    return _UNITS[signal.query.unit]


def decimals(signal: Signal, *, axis: bool = False) -> int | None:
    """How many to write; None is as many as Grafana thinks right."""
    return (_DECIMALS_BESIDE_AXIS if axis else _DECIMALS).get(signal.query.unit)


def thresholds(steps: Steps) -> build.ThresholdsConfig:
    """Neutral where there is no value, then as given."""
    found = [model.Threshold(value=None, color=NEUTRAL)]
    found += [model.Threshold(value=value, color=color) for value, color in steps]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(found)


def by_status() -> Mapping[str, str]:
    """Patterns of statuses, HTTP's and gRPC's, and their colours.

    Between slashes, since Grafana takes a bare one to be of the whole name.
    """
    return {
        r"/^(2\d\d|OK)\b/": GREEN,
        r"/^4\d\d\b/": ORANGE,
        r"/^(5\d\d|(?!OK\b)[A-Z_]+)\b/": RED,
    }

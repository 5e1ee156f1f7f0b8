"""Units, colours, and texts of panels without data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

from .signals.signal import Signal

NOTHING: Final = "No data: is a service exporting? Run gluellm-pools verify."
"""Text of a panel that should have data as soon as there is a pool."""
GREEN: Final = "green"
ORANGE: Final = "orange"
RED: Final = "red"
NEUTRAL: Final = "#6e7178"
"""Colour without a meaning: no data is not green."""
Steps = Sequence[tuple[float, str]]
"""Colours, each with the value at which it begins."""

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
"""Decimals of units that Grafana would write with too many digits."""
_DECIMALS_BESIDE_AXIS: Final = _DECIMALS | {"ratio": 1}
"""Decimals of an axis. Without any, its steps are whole numbers, and 1 is already 100 %."""
DASH: Final = model.SpecialValueMap(
    model.DashboardSpecialValueMapOptions(
        model.SpecialValueMatch.NULL_AND_NAN, model.ValueMappingResult(text="-")
    )
)
"""Value in a legend for a line that has ended."""
POOL: Final = "#c4162a"
PROVIDER: Final = "#1f60c4"
APPLICATION: Final = "#a352cc"
"""Who acts, on all boards: the pool is warm, the provider blue, the application purple."""
NEITHER: Final = "#4c9a9a"
"""Colour of what is none of them, such as calls: they contain all three."""
PLAIN: Steps = [(0, NEITHER)]
"""Colour of numbers that are neither good nor bad."""
PARTS_COLORS: Final = {"provider": PROVIDER, "pool": POOL, "application": APPLICATION}
PHASE_COLORS: Final = {
    "awaiting_response": PROVIDER,
    "reading": "#8ab8ff",
    "connecting": "#ff9830",
    "queued": POOL,
    "stream_queued": "#f2495c",
    "unread": APPLICATION,
}
"""Colours of phases from the bottom of a stack."""
STAGE_COLORS: Final = {
    "requesting": NEITHER,
    "backoff": PROVIDER,
    "limited": "#6e2b91",
    "preparing": APPLICATION,
    "finishing": "#ca95e5",
}
"""Colours of stages. A request in flight can be waiting for any of the three."""
STATUS_COLORS: Final = {
    r"/^(2\d\d|OK)\b/": GREEN,
    r"/^4\d\d\b/": ORANGE,
    r"/^(5\d\d|(?!OK\b)[A-Z_]+)\b/": RED,
}
"""Colours of statuses, of HTTP and gRPC."""


def unit(signal: Signal) -> str:
    """Return Grafana's name of a unit."""
    return _UNITS[signal.query.unit]


def decimals(signal: Signal, *, axis: bool = False) -> int | None:
    """Return the number of decimals; None leaves it to Grafana."""
    return (_DECIMALS_BESIDE_AXIS if axis else _DECIMALS).get(signal.query.unit)


def thresholds(steps: Steps, below: str = NEUTRAL) -> build.ThresholdsConfig:
    """Return thresholds: the colour ``below`` without a value, then as given."""
    found = [model.Threshold(value=None, color=below)]
    found += [model.Threshold(value=value, color=color) for value, color in steps]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(found)

"""Units, colours, and what a panel says that has no data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

from .signals.signal import Signal

NOTHING: Final = "No data: is a service exporting? Run `gluellm-pools verify`."
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
POOLS_COLORS: Final = {"queued": "#c4162a", "connecting": "#ff9830", "stream_queued": "#f2495c"}
PROVIDERS_COLORS: Final = {"awaiting_response": "#1f60c4", "reading": "#8ab8ff"}
APPLICATIONS_COLORS: Final = {"unread": "#a352cc"}
PHASE_COLORS: Final = POOLS_COLORS | PROVIDERS_COLORS | APPLICATIONS_COLORS
"""Warm is the pool's part, blue the provider's, purple the application's."""


def unit(signal: Signal) -> str:
    """As Grafana calls it."""
    return _UNITS[signal.query.unit]


def thresholds(steps: Steps) -> build.ThresholdsConfig:
    """Neutral where there is no value, then as given."""
    found = [model.Threshold(value=None, color=NEUTRAL)]
    found += [model.Threshold(value=value, color=color) for value, color in steps]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(found)


def by_status() -> Mapping[str, str]:
    """Patterns of what requests end with, and their colours: what is well, refused, and failed.

    Between slashes, since Grafana takes a bare one to be of the whole name.
    """
    return {r"/^(2\d\d|OK)\b/": GREEN, r"/^429\b/": ORANGE, r"/^5\d\d\b/": RED}

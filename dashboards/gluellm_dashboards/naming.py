"""Names of metrics and attributes in a store. Unknown names are rejected."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

from gluellm_pools.prometheus import label_name
from opentelemetry.instrumentation.gluellm.telemetry.semconv import METRICS, Metric

_METRICS: Final = {metric.name: metric for metric in METRICS}


class UnknownNameError(ValueError):
    """A signal uses a name that is not in the contract. The message has the nearest known name."""


def metric(name: str) -> Metric:
    """Return the metric of this name. Raises UnknownNameError."""
    found = _METRICS.get(name)
    if found is None:
        raise UnknownNameError(f"there is no metric {name!r}{nearest(name, _METRICS)}")
    return found


def label(key: str, of: Metric) -> str:
    """Return the label of an attribute that the metric can have. Raises UnknownNameError."""
    known = (*of.attributes, *of.opt_in_attributes)
    if key not in known:
        raise UnknownNameError(f"{of.name} has no attribute {key!r}{nearest(key, known)}")
    return label_name(key)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a message with the nearest known name, if one is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    return f"; the nearest is {close[0]!r}" if close else ""

"""Why series that were there give no answer now: they ended, or are too young for a rate."""

from __future__ import annotations

from opentelemetry.instrumentation.gluellm.telemetry.prometheus import (
    HISTOGRAM_SUFFIXES,
    metric_name,
)
from opentelemetry.instrumentation.gluellm.telemetry.semconv import METRICS, Instrument
from opentelemetry.instrumentation.gluellm.text import seconds

from .asking import Store
from .facts import Facts
from .missing import missing
from .promql import Selector
from .rows import number_of

STOPPED = "no sample for 5 min: nothing is exported any more"
_SDK_INTERVAL = 60.0
"""Seconds between two exports of an SDK that was told nothing."""
_INTERVALS = 2
_OF_STATE = (Instrument.OBSERVABLE_GAUGE, Instrument.OBSERVABLE_UP_DOWN_COUNTER)


def why_ended(facts: Facts, name: str) -> tuple[str, bool]:
    """Why series of a name got no sample for 5 minutes, and whether that is in order."""
    if facts.newest_names is None:
        return STOPPED, False
    base = name
    for suffix in HISTOGRAM_SUFFIXES:
        base = base.removesuffix(suffix)
    metric = next((one for one in METRICS if metric_name(one) == base), None)
    if metric is None:
        return "no sample of it for 5 min, though the processes go on", False
    current = [one for one in facts.stored if one.counted in facts.newest_names]
    if metric in [one.metric for one in current]:
        return "what had this has ended, others go on", True
    if metric.instrument not in _OF_STATE:
        # A counter stays when its pool ends: after a restart it may be one that never arrives.
        for gap in missing(current):
            if gap.metric is metric:
                return gap.reason, gap.expected
    return "no pool has this now, though one had", True


def why_no_rate(store: Store, facts: Facts, one: Selector, chosen: str) -> tuple[str, bool] | None:
    """Why a rate of series that are there now is empty; None when that is not the reason."""
    if one.window is None:
        return None
    rows = store.query(f"max(count_over_time({chosen}[{one.window * 1000:.0f}ms]))", facts.now)
    if rows and number_of(rows[0]) >= 2:
        return None
    interval = facts.interval or 0.0
    if one.window < 2 * interval:
        return (
            f"its window of {one.window:g} s holds fewer than two samples, which are "
            f"{seconds(interval)} apart: take {seconds(4 * interval)} or more"
        ), False
    return "a rate needs two samples, and there is only one yet: wait for the next", _young(
        store, facts, chosen
    )


def _young(store: Store, facts: Facts, chosen: str) -> bool:
    """Whether the series that are there have had one sample, and the next is still to come."""
    window = f"{max(facts.window, 1):.0f}s"
    # What has ended has more samples, and is not asked for.
    rows = store.query(f"max(count_over_time({chosen}[{window}]) and {chosen})", facts.now)
    if not rows or number_of(rows[0]) >= 2:
        return False
    rows = store.query(f"min(timestamp({chosen}))", facts.now)
    patience = _INTERVALS * (facts.interval or _SDK_INTERVAL)
    return bool(rows) and facts.now - number_of(rows[0]) < patience

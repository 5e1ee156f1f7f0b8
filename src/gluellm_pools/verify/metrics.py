"""The contract's metrics in a store: under which names they are stored, and which are missing."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files

from opentelemetry.instrumentation.gluellm.telemetry.semconv import METRICS, Instrument, Metric

from ..prometheus import HISTOGRAM_SUFFIXES, metric_name

_OWN = re.compile(r"((?:.+?[._])?)gluellm[._].+")
"""Names that only this package uses, with an exporter's prefix."""
NAMES = rf"{_OWN.pattern}|(.+[._])?(dns[._]lookup|http[._](client|server)|gen_ai[._]client)[._].+"
"""Names of this package and of other instrumentations of HTTP and LLM clients, in PromQL."""
_ABSENT = tomllib.loads(files(__package__).joinpath("missing.toml").read_text(encoding="utf-8"))
"""Metrics that can be missing in a correct set-up, with the reason."""
_CUMULATIVE = {Instrument.OBSERVABLE_COUNTER, Instrument.HISTOGRAM}


@dataclass(frozen=True, slots=True)
class Stored:
    """A metric as the store has it."""

    metric: Metric
    name: str
    """Base name of the series. For a histogram with buckets, `HISTOGRAM_SUFFIXES` follow."""
    native: bool = False
    """Whether the metric is a histogram in one series, without ``_bucket``."""

    @property
    def counted(self) -> str:
        """The series name with one series for each set of labels."""
        histogram = self.metric.instrument == Instrument.HISTOGRAM and not self.native
        return self.name + HISTOGRAM_SUFFIXES[2] if histogram else self.name


def forms(metric: Metric) -> list[str]:
    """Return the base names that a metric can have: the expected one first, then by setting.

    Exporters and stores keep dots or replace them, and add suffixes or do not.
    """
    expected, underscored = metric_name(metric), metric.name.replace(".", "_")
    dotted = metric.name + expected.removeprefix(underscored)
    return list(dict.fromkeys([expected, underscored, dotted, metric.name]))


def stored(names: Iterable[str]) -> list[Stored]:
    """Return the contract's metrics among the names of a store, in the contract's order.

    Names with a prefix count only without plain names, since recording rules can produce them.
    """
    known = {name for name in names if ":" not in name}  # those with a colon are of rules
    prefixes = {match[1] for name in known if (match := _OWN.fullmatch(name))}
    found = []
    for prefix in [""] if "" in prefixes else sorted(prefixes):
        for metric in METRICS:
            for name in (prefix + form for form in forms(metric)):
                histogram = metric.instrument == Instrument.HISTOGRAM
                buckets = histogram and name + HISTOGRAM_SUFFIXES[2] in known
                if buckets or name in known:
                    found.append(Stored(metric, name, histogram and not buckets))
    return found


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a metric is missing."""

    text: str
    finding: str = ""
    """The kind of the finding; empty if that is in order."""


NO_CALL = Reason("no LLM call yet", "no_call")
DELTA = Reason("counters and histograms never arrive: delta temporality?", "delta")
REMOVED = Reason("removed on the way: by a View, a filter or relabelling", "metrics_missing")


def missing(found: Iterable[Stored]) -> dict[Metric, Reason]:
    """Return the metrics of the contract that are not among those found, with the reason."""
    present = {one.metric for one in found}
    return {one: _reason(one, present) for one in METRICS if one not in present}


def _reason(metric: Metric, present: set[Metric]) -> Reason:
    instruments = {one.instrument for one in present}
    only_gauges = Instrument.OBSERVABLE_GAUGE in instruments and not instruments & _CUMULATIVE
    if metric.setting:
        return Reason(f"off by default: instrument({metric.setting}=True)")
    if metric.full and not any(one.full for one in present):
        return Reason('off by default: instrument(metrics="full")')
    if metric.name == "gluellm.instrumentation.errors":
        return Reason(_ABSENT[metric.name])
    if not _of_process(metric) and all(map(_of_process, present)):
        return NO_CALL
    if only_gauges and metric.instrument in _CUMULATIVE:
        return DELTA
    if metric.name in _ABSENT:
        return Reason(_ABSENT[metric.name])
    return Reason("no such event yet") if metric.full else REMOVED


def _of_process(metric: Metric) -> bool:
    return metric.name.startswith(
        ("gluellm.instrumentation.", "gluellm.event_loop.", "gluellm.finding.")
    )

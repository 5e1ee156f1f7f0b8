"""A signal: a query and its description, built from the contract's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from opentelemetry.instrumentation.gluellm.telemetry.semconv import Instrument, Metric

from .. import essential as queries
from .. import naming
from .. import query as promql
from ..query import Query

Own = Mapping[str, str]
"""Values of attribute keys: ``a|b`` matches either, a leading ``!`` neither, and ``!`` alone any
value that is not empty."""


@dataclass(frozen=True, slots=True)
class Signal:
    """Content of a panel, or basis of an alert."""

    query: Query
    tells: str
    """How to read it and what to do: the description of its panel."""
    recorded: bool = False
    """Whether it is for the board on recording rules, whose series have no version."""

    @property
    def name(self) -> str:
        """Unique name."""
        return self.query.name


def essential(name: str, tells: str) -> Signal:
    """Return a signal of a query that ``gluellm-pools verify`` also runs.

    Raises UnknownNameError.
    """
    return Signal(queries.essential(name), tells)


def signal(name: str, template: str, tells: str, unit: str = "") -> Signal:
    """Return a signal with a template of the functions below."""
    return Signal(Query(name, template, unit), tells)


def of(
    name: str, metric: str, tells: str, *keys: str, own: Own | None = None, how: str = "sum"
) -> Signal:
    """Return a signal of a gauge's values or a counter's rate, by attributes if ``keys`` are given.

    ``how`` is the aggregation. Raises UnknownNameError.
    """
    counter = naming.metric(metric).instrument == Instrument.OBSERVABLE_COUNTER
    unit = {"s": "s", "1": "ratio"}.get(naming.metric(metric).unit, "")
    values = rate(metric, own) if counter else now(metric, own)
    template = f"{how}{by(metric, *keys)}({values})"
    return signal(name, template, tells, f"{unit}/s" if counter else unit)


def quantile_of(name: str, share: float, metric: str, tells: str) -> Signal:
    """Return a signal of a histogram's quantile. Raises UnknownNameError."""
    unit = "s" if naming.metric(metric).unit == "s" else ""
    return signal(name, promql.quantile(share, naming.metric(metric)), tells, unit)


def now(metric: str, own: Own | None = None) -> str:
    """Return the series of a metric that match ``own``.

    Raises UnknownNameError for a metric or an attribute that is not in the contract.
    """
    found = naming.metric(metric)
    return promql.now(found, _matchers(found, own))


def rate(metric: str, own: Own | None = None) -> str:
    """Return the increase of a counter per second. Raises UnknownNameError."""
    found = naming.metric(metric)
    return promql.rate(found, _matchers(found, own))


def total(metric: str, own: Own | None = None) -> str:
    """Return the sum of what `rate` returns. Raises UnknownNameError."""
    return f"sum{by()}({rate(metric, own)})"


def by(metric: str = "", *keys: str) -> str:
    """Return the labels to group by, with attributes of a metric that are part of the question."""
    return promql.by(*(naming.label(key, naming.metric(metric)) for key in keys))


def by_labels(*labels: str) -> str:
    """Return the labels to group by, with further ones as a store names them."""
    return promql.by(*labels)


def _matchers(metric: Metric, own: Own | None) -> str:
    return ",".join(
        _matcher(naming.label(key, metric), value) for key, value in (own or {}).items()
    )


def _matcher(label: str, value: str) -> str:
    negated, value = value.startswith("!"), value.removeprefix("!")
    either = "|" in value
    operator = ("!~" if either else "!=") if negated else ("=~" if either else "=")
    return f'{label}{operator}"{value}"'

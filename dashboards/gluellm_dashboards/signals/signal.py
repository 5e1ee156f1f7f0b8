"""A signal: a query and its description, built from the contract's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opentelemetry.instrumentation.gluellm.telemetry.semconv import Metric

from .. import naming
from .. import query as promql
from ..essential import QUERIES
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

    @property
    def name(self) -> str:
        """Unique name."""
        return self.query.name


def essential(name: str, tells: str) -> Signal:
    """Return a signal of a query that ``gluellm-pools verify`` also runs."""
    (query,) = (one for one in QUERIES if one.name == name)
    return Signal(query, tells)


def signal(
    name: str,
    question: str,
    template: str,
    tells: str,
    *,
    of: Sequence[str],
    unit: str = "",
    by: Sequence[str] | None = None,
    on_event: bool = False,
) -> Signal:
    """Return a signal with a template of the functions below.

    ``of`` names the metrics that it uses. Raises UnknownNameError.
    """
    query = Query(
        name,
        question,
        tuple(map(naming.metric, of)),
        template,
        unit,
        on_event,
        promql.POOL if by is None else tuple(by),
    )
    return Signal(query, tells)


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


def over(function: str, metric: str, own: Own | None = None) -> str:
    """Return another function of the series over the window. Raises UnknownNameError."""
    return f"{function}({now(metric, own)}[{promql.WINDOW}])"


def before(metric: str, own: Own | None = None) -> str:
    """Return the series one window ago. Raises UnknownNameError."""
    return f"{now(metric, own)} offset {promql.WINDOW}"


def by(metric: str = "", *keys: str) -> str:
    """Return the labels to group by, with attributes of a metric that are part of the question."""
    return promql.by(*(naming.label(key, naming.metric(metric)) for key in keys))


def by_labels(*labels: str) -> str:
    """Return the labels to group by, with further ones as a store names them."""
    return promql.by(*labels)


def quantile(share: float, metric: str, *keys: str) -> str:
    """Return a quantile of a histogram, by further attributes. Raises UnknownNameError."""
    found = naming.metric(metric)
    return promql.quantile(share, found, *(naming.label(key, found) for key in keys))


def _matchers(metric: Metric, own: Own | None) -> str:
    return ",".join(
        _matcher(naming.label(key, metric), value) for key, value in (own or {}).items()
    )


def _matcher(label: str, value: str) -> str:
    negated, value = value.startswith("!"), value.removeprefix("!")
    either = "|" in value
    operator = ("!~" if either else "!=") if negated else ("=~" if either else "=")
    return f'{label}{operator}"{value}"'

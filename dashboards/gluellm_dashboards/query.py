"""PromQL templates, which ``gluellm-pools verify``, the boards and the alerts fill in.

``verify`` narrows a query to a service, a dashboard to its variables, a recording rule to nothing.
Each has its own window and its own labels to group by. A template selects by no label except those
of the metrics themselves, so it gives the same answer on every ingestion path. Labels of the
resource and of the scope are aggregated away unless the caller groups by them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gluellm_pools.prometheus import label_name, metric_name
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import Instrument, Metric

MATCHERS: Final = "%matchers%"
"""Placeholder for the caller's label matchers."""
CALL_MATCHERS: Final = "%calls%"
"""Placeholder for the matchers of metrics that have a provider and no pool."""
PROCESS_MATCHERS: Final = "%process%"
"""Placeholder for the matchers of metrics that have neither."""
WINDOW: Final = "%window%"
"""Placeholder for the window of rates."""
_BY: Final = re.compile(r"%by(?:\+(?P<more>[\w,]+))?%")

PROVIDER: Final = label_name(semconv.PROVIDER_NAME)
POOL: Final = (PROVIDER, label_name(semconv.POOL_NAME))
"""The labels of a pool."""


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL template, and what its answer is."""

    name: str
    """Unique, in snake_case."""
    template: str
    """PromQL with placeholders; see `promql`."""
    unit: str = ""
    """Unit of the answer: ``s``, ``ratio``, ``/s``, ``/min``, ``s/s`` or empty for a plain number.

    Seconds of requests per second are the average number of requests.
    """
    question: str = ""
    """Heading in the report of ``gluellm-pools verify``; empty if it does not run the query."""
    by: tuple[str, ...] = POOL
    """The labels of an answer, besides those that are part of the question."""

    def promql(
        self,
        matchers: str = "",
        window: str = "5m",
        *,
        by: Sequence[str] | None = None,
        calls: str | None = None,
        process: str | None = None,
    ) -> str:
        """Return the query with label matchers such as ``job="api"`` and a window for its rates.

        A window has to span at least four export intervals. ``by`` replaces the query's own labels
        to group by. ``calls`` narrows the metrics that have a provider and no pool, ``process``
        those that have neither; the default is ``matchers``.
        """
        labels = self.by if by is None else tuple(by)

        def clause(match: re.Match[str]) -> str:
            more = match["more"].split(",") if match["more"] else []
            wanted = list(dict.fromkeys([*labels, *more]))
            return f" by ({', '.join(wanted)}) " if wanted else ""

        return (
            _BY.sub(clause, self.template)
            .replace(MATCHERS, matchers)
            .replace(CALL_MATCHERS, matchers if calls is None else calls)
            .replace(PROCESS_MATCHERS, matchers if process is None else process)
            .replace(WINDOW, window)
        )


def now(metric: Metric, own: str = "", *, part: str = "") -> str:
    """Return the selector of a metric's series, narrowed by ``own`` and by the caller's matchers.

    ``part`` is one of a histogram's suffixes.
    """
    matchers = PROCESS_MATCHERS
    if semconv.POOL_NAME in metric.attributes:
        matchers = MATCHERS
    elif semconv.PROVIDER_NAME in metric.attributes:
        matchers = CALL_MATCHERS
    return f"{metric_name(metric)}{part}{{{own + ',' if own else ''}{matchers}}}"


def rate(metric: Metric, own: str = "", *, part: str = "") -> str:
    """Return a counter's increase per second."""
    return f"rate({now(metric, own, part=part)}[{WINDOW}])"


def by(*more: str) -> str:
    """Return the placeholder for the labels to group by, with those that the question needs."""
    return f"%by+{','.join(more)}%" if more else "%by%"


def quantile(share: float, metric: Metric, *more: str) -> str:
    """Return a quantile of a histogram, whether it is stored in buckets or as a native one.

    ``vmrange`` replaces ``le`` for exponential histograms in VictoriaMetrics.
    """
    if metric.instrument != Instrument.HISTOGRAM:
        raise ValueError(f"{metric.name} is no histogram")
    buckets = f"sum{by(*more, 'le', 'vmrange')}({rate(metric, part='_bucket')})"
    native = f"sum{by(*more)}({rate(metric)})"
    return f"histogram_quantile({share:g}, {buckets}) or histogram_quantile({share:g}, {native})"

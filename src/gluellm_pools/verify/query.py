"""What a question is in PromQL, with the places left open that differ by who asks it.

``verify`` narrows a query to a service, a board to its variables, a recording rule to nothing; each
has its own window and its own labels to group by. The expressions rest on no label but those of the
metrics themselves, so they give the same answer whichever way the data came. Labels of the resource
and of the scope are aggregated away unless they are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.prometheus import label_name, metric_name
from opentelemetry.instrumentation.gluellm.telemetry.semconv import Instrument, Metric

MATCHERS: Final = "%matchers%"
"""The place for the matchers of whoever asks."""
PROCESS_MATCHERS: Final = "%process%"
"""The same, for metrics that know no pool."""
WINDOW: Final = "%window%"
"""The place for the length of time that rates are taken over."""
_BY: Final = re.compile(r"%by(?:\+(?P<more>[\w,]+))?%")
_OPEN: Final = re.compile(r"%(?:matchers|process|window|by(?:\+[\w,]+)?)%")

POOL: Final = (label_name(semconv.PROVIDER_NAME), label_name(semconv.POOL_NAME))
"""The labels of a pool."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question, and how it is put."""

    name: str
    """Unique, in snake_case."""
    question: str
    metrics: tuple[Metric, ...]
    """What the answer rests on."""
    template: str
    """PromQL with places left open; see `promql`."""
    unit: str = ""
    """Of the answer: ``s``, ``ratio``, ``/s``, ``/min``, ``s/s`` or empty for a plain number.

    Seconds of requests per second say how many requests there are on average.
    """
    on_event: bool = False
    """Whether no answer at all is in order, since the series come with the first event."""
    by: tuple[str, ...] = POOL
    """The labels that an answer has, those apart that are part of the question."""

    def promql(
        self,
        matchers: str = "",
        window: str = "5m",
        *,
        by: Sequence[str] | None = None,
        process: str | None = None,
    ) -> str:
        """The query, narrowed by label matchers as ``job="api"``, with its rates over a window.

        A window has to span at least four export intervals. ``by`` are labels to group by, instead
        of its own. ``process`` narrows the metrics that know no pool; by default ``matchers`` do.
        """
        labels = self.by if by is None else tuple(by)

        def clause(match: re.Match[str]) -> str:
            more = match["more"].split(",") if match["more"] else []
            wanted = list(dict.fromkeys([*labels, *more]))
            return f" by ({', '.join(wanted)}) " if wanted else ""

        return (
            _BY.sub(clause, self.template)
            .replace(MATCHERS, matchers)
            .replace(PROCESS_MATCHERS, matchers if process is None else process)
            .replace(WINDOW, window)
        )

    @property
    def has_window(self) -> bool:
        """Whether the answer depends on the window."""
        return WINDOW in self.template


def now(metric: Metric, own: str = "", *, part: str = "") -> str:
    """The series of a metric, narrowed by ``own`` matchers besides those that are left open.

    ``part`` is one of a histogram's suffixes.
    """
    matchers = MATCHERS if semconv.POOL_NAME in metric.attributes else PROCESS_MATCHERS
    return f"{metric_name(metric)}{part}{{{own + ',' if own else ''}{matchers}}}"


def rate(metric: Metric, own: str = "", *, part: str = "") -> str:
    """How fast a counter grows, per second."""
    return f"rate({now(metric, own, part=part)}[{WINDOW}])"


def by(*more: str) -> str:
    """The place for the labels to group by, with further ones that are part of the question."""
    return f"%by+{','.join(more)}%" if more else "%by%"


def quantile(share: float, metric: Metric, *more: str) -> str:
    """A quantile of a histogram, whether stored in buckets or as a native one.

    ``vmrange`` is what VictoriaMetrics has instead of ``le`` for an exponential histogram.
    """
    if metric.instrument != Instrument.HISTOGRAM:
        raise ValueError(f"{metric.name} is no histogram")
    buckets = f"sum{by(*more, 'le', 'vmrange')}({rate(metric, part='_bucket')})"
    native = f"sum{by(*more)}({rate(metric)})"
    return f"histogram_quantile({share:g}, {buckets}) or histogram_quantile({share:g}, {native})"


def is_filled_in(promql: str) -> bool:
    """Whether no place is left open."""
    return _OPEN.search(promql) is None

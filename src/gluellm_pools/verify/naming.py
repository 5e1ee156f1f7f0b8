"""Under which names a store has the contract's metrics.

Boards expect one translation: underscores, with unit and type as suffixes. What else is found says
which setting made it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from opentelemetry.instrumentation.gluellm.telemetry.prometheus import (
    HISTOGRAM_SUFFIXES,
    metric_name,
)
from opentelemetry.instrumentation.gluellm.telemetry.semconv import METRICS, Instrument, Metric

FOREIGN_NAMES = r"http[._]client[._].+|http[._]server[._].+|gen_ai[._]client[._].+"
"""Of other instrumentations, in PromQL's regular expressions."""
_OURS = sorted({metric.name.split(".")[0] for metric in METRICS} - {"http"})
NAMES = rf"(.+[._])?({'|'.join(_OURS)})[._].+|(.+[._])?({FOREIGN_NAMES})|target_info|target[.]info"
_PLAIN = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


class Style(StrEnum):
    """How dots and suffixes were dealt with, in words for people."""

    EXPECTED = "underscores, unit and _total as suffixes"
    NO_SUFFIXES = "underscores, no suffixes"
    DOTS_AND_SUFFIXES = "dots kept, with suffixes"
    DOTS = "dots kept, no suffixes"


@dataclass(frozen=True, slots=True)
class Stored:
    """One metric as the store has it."""

    metric: Metric
    name: str
    """Its base name: a histogram with buckets has `HISTOGRAM_SUFFIXES` behind it."""
    styles: tuple[Style, ...]
    """All that fit: some names are the same in several."""
    prefix: str = ""
    native: bool = False
    """A histogram in one series, without ``_bucket``."""

    @property
    def counted(self) -> str:
        """The series name that says how many sets of labels there are."""
        histogram = self.metric.instrument == Instrument.HISTOGRAM and not self.native
        return self.name + HISTOGRAM_SUFFIXES[2] if histogram else self.name


def styled(metric: Metric, style: Style) -> str:
    """The base name of a metric in one style."""
    expected = metric_name(metric)
    underscored = metric.name.replace(".", "_")
    suffix = expected.removeprefix(underscored)
    return {
        Style.EXPECTED: expected,
        Style.NO_SUFFIXES: underscored,
        Style.DOTS_AND_SUFFIXES: metric.name + suffix,
        Style.DOTS: metric.name,
    }[style]


def stored(names: Iterable[str]) -> list[Stored]:
    """The contract's metrics among the names of a store, in the contract's order."""
    # No exporter puts a colon into a name: those are of recording rules.
    known = {name for name in names if ":" not in name}
    found: dict[tuple[str, str], Stored] = {}
    for prefix in ("", *sorted(_prefixes(known))):
        for metric in METRICS:
            for style in Style:
                name = prefix + styled(metric, style)
                histogram = metric.instrument == Instrument.HISTOGRAM
                buckets = histogram and name + HISTOGRAM_SUFFIXES[2] in known
                if not buckets and name not in known:
                    continue
                before = found.get((metric.name, name))
                styles = (*(before.styles if before else ()), style)
                native = histogram and not buckets
                found[metric.name, name] = Stored(metric, name, styles, prefix, native)
    # Names in http.client are the conventions', and other instrumentations have them too.
    if not any(one.metric.name.startswith(tuple(_OURS)) for one in found.values()):
        return []
    order = [metric.name for metric in METRICS]
    kept = _without_copies(list(found.values()))
    return sorted(kept, key=lambda one: order.index(one.metric.name))


def _without_copies(found: Sequence[Stored]) -> list[Stored]:
    """Without what recording rules made of some of the names: a namespace stands before all."""
    plain = {one.metric for one in found if not one.prefix}
    by_prefix: dict[str, set[Metric]] = {}
    for one in found:
        by_prefix.setdefault(one.prefix, set()).add(one.metric)
    copies = {
        prefix
        for prefix, metrics in by_prefix.items()
        if prefix and metrics <= plain and 2 * len(metrics) < len(plain)
    }
    return [one for one in found if one.prefix not in copies]


def styles_of(found: Iterable[Stored]) -> list[Style]:
    """The fewest styles that explain all names, those of the most names first."""
    left = list(found)
    styles = []
    while left:
        best = max(Style, key=lambda style: sum(style in one.styles for one in left))
        styles.append(best)
        left = [one for one in left if best not in one.styles]
    return styles


def _prefixes(names: Iterable[str]) -> set[str]:
    # A Collector's exporter puts its `namespace` before each name.
    pattern = re.compile(rf"(.+?[._])({'|'.join(_OURS)})[._]")
    return {match.group(1) for name in names if (match := pattern.match(name))}


def foreign(names: Iterable[str], ours: Iterable[Stored]) -> list[str]:
    """Names of other instrumentations of HTTP and LLM clients, histograms by their base name."""
    own = {one.name for one in ours}
    found = set()
    for name in names:
        for suffix in HISTOGRAM_SUFFIXES:
            name = name.removesuffix(suffix)
        if name not in own and re.fullmatch(FOREIGN_NAMES, name):
            found.add(name)
    return sorted(found)


def selector(name: str, matchers: Iterable[str] = ()) -> str:
    """PromQL for the series of a name, quoted where it has dots (Prometheus 3, VictoriaMetrics)."""
    if _PLAIN.fullmatch(name):
        inner = ",".join(matchers)
        return f"{name}{{{inner}}}" if inner else name
    return "{" + ",".join([json.dumps(name), *matchers]) + "}"


def any_of(label: str, values: Sequence[str]) -> str:
    """PromQL for one of several values of a label."""
    if len(values) == 1:
        return matcher(label, values[0])
    pattern = matcher(label, "|".join(re.escape(value) for value in values))
    return pattern.replace("=", "=~", 1)


def matcher(label: str, value: str) -> str:
    """PromQL for one label's value."""
    key = label if _PLAIN.fullmatch(label) else json.dumps(label)
    return f"{key}={json.dumps(value, ensure_ascii=False)}"

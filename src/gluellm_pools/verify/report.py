"""Formats the report as text for 80 columns, or as JSON."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gluellm_diagnosis.findings import Finding, Severity
from opentelemetry.instrumentation.gluellm.text import counted, seconds

from ..text import age_text, printable
from .contents import Contents
from .findings import some
from .metrics import missing
from .outcomes import NO_RULES, QueryResult
from .paths import IngestionPath

_WIDTH = 80


@dataclass(frozen=True, slots=True)
class StoreReport:
    """What a run found."""

    contents: Contents
    paths: Sequence[IngestionPath]
    findings: Sequence[Finding]
    outcomes: Sequence[QueryResult]

    @property
    def good(self) -> bool:
        """Whether nothing is wrong, and no query is empty without a good reason."""
        severities = {one.severity for one in self.findings}
        return severities <= {Severity.INFO} and all(one.fine for one in self.outcomes)


def as_text(report: StoreReport, queries: bool = False) -> str:
    """Format the report, on request with each query. The findings come last, to stay in view."""
    contents = report.contents
    lines = [
        f"gluellm-pools verify: {contents.product} at {printable(contents.url, 200)}",
        f"Data of the last {age_text(contents.window)}.",
    ]
    if report.paths:
        lines += ["", "INGESTION PATH"]
        for path in report.paths:
            lines += _path(path, contents)
        lines += ["", *_metrics(contents)]
    for board in dict.fromkeys(one.board for one in report.outcomes):
        outcomes = [one for one in report.outcomes if one.board == board]
        lines += ["", *_queries(board, outcomes, queries)]
    for finding in report.findings:
        lines += ["", f"{finding.severity.value.upper()}: {finding.kind.replace('_', ' ')}"]
        for name in ("observed", "explanation", "advice"):
            for number, part in enumerate(getattr(finding, name).split("\n")):
                head = f"  {'' if number else name + ':':<13}"
                lines += _wrapped(part, head, " " * len(head))
    return "\n".join([*lines, "", *_wrapped(_verdict(report), "", "")])


def _path(path: IngestionPath, contents: Contents) -> Iterable[str]:
    yield from _wrapped(f"{path.name} ({path.because})", "  ", "    ")
    services = ", ".join(
        f"{printable(service or '(none)')} ({counted(len(instances), 'instance')})"
        for service, instances in sorted(path.instances.items())
    )
    instances = some(sorted(filter(None, set().union(*path.instances.values()))), 3)
    service, instance = path.service_label or "(none)", path.instance_label or "(none)"
    yield from _wrapped(f"service: label {service}, {services}", " " * 4, " " * 6)
    yield from _wrapped(f"instance: label {instance}, {instances or '(none)'}", " " * 4, " " * 6)
    age = contents.now - path.newest
    when = f"{age_text(age)} old" if age > -10 else f"{age_text(-age)} in the future"
    every = f", one every {seconds(contents.interval)}" if contents.interval else ""
    yield f"    newest sample: {when}{every}"


def _metrics(contents: Contents) -> list[str]:
    gaps = missing(contents.stored)
    here = {one.metric for one in contents.stored}
    lines = [f"METRICS: {len(here)} of {len(here) + len(gaps)} are stored"]
    for reason in dict.fromkeys(gaps.values()):
        mark = "MISSING" if reason.finding else "absent"
        names = ", ".join(metric.name for metric, own in gaps.items() if own == reason)
        lines += _wrapped(f"{reason.text}: {names}", f"  {mark:>9}  ", " " * 13)
    return lines


def _queries(board: str, outcomes: Sequence[QueryResult], queries: bool) -> Iterable[str]:
    answered = [one for one in outcomes if one.rows]
    title = f"BOARD {printable(board, 60)}" if board else "QUERIES"
    yield f"{title}: {len(answered)} of {len(outcomes)} have an answer"
    for one in answered:
        among = f" (highest of {one.rows}{': ' * bool(one.of)}{printable(one.of, 60)})"
        where = printable(one.where, 60) + among * (one.rows > 1)
        yield from _wrapped(where, f"  {_value(one):>9}  ", " " * 15)
        if queries:
            yield " " * 13 + printable(one.expression, 5000)
    empty = [one for one in outcomes if not one.rows]
    reasons = dict.fromkeys((one.fine, one.reason) for one in empty)
    for why in sorted(reasons, key=lambda why: why[0]):
        alike = [one for one in empty if (one.fine, one.reason) == why]
        if why[1] == NO_RULES and len(alike) > 1 and not queries:  # a board may need rules only
            yield f"  {'NO DATA':>9}  {len(alike)} queries of recording rules"
            alike = []
        for one in alike:
            yield f"  {'no data' if one.fine else 'NO DATA':>9}  {printable(one.where, 60)}"
            if queries:
                yield " " * 13 + printable(one.expression, 5000)  # in one line, to be copied
            elif board and not one.fine:
                yield from _wrapped(printable(one.expression, 300), " " * 13, " " * 13, cut=False)
        number = f" (all {len(alike)})" if len(alike) > 1 else ""
        yield from _wrapped(f"why{number}: {printable(why[1], 400)}", " " * 13, " " * 18)


def _value(outcome: QueryResult) -> str:
    value, unit = outcome.value, outcome.unit
    if value is None:
        return "NaN"
    if unit == "s":
        return seconds(value)
    if unit == "ratio":
        return f"{100 * value:.3g} %"
    number = f"{value:.0f}" if value.is_integer() and abs(value) < 1e6 else f"{value:.3g}"
    return f"{number} {unit}" if unit[:1].isalpha() else f"{number}{unit}"


def _verdict(report: StoreReport) -> str:
    if report.good:
        quiet = sum(not one.rows for one in report.outcomes)
        rest = f", except {quiet} with nothing to show yet" if quiet else ""
        return f"All good: the data arrives, and queries have answers{rest}."
    counts = Counter(one.severity.value for one in report.findings)
    parts = [counted(number, name) for name, number in counts.items()]
    if empty := sum(not one.fine for one in report.outcomes):
        parts.append(f"{empty} times NO DATA")
    return f"Found: {', '.join(parts)}."


def _wrapped(text: str, first: str, rest: str, *, cut: bool = True) -> list[str]:
    """Wrap a text with these indents; ``cut`` also breaks long words."""
    wrapper = textwrap.TextWrapper(_WIDTH, first, rest, break_on_hyphens=False)
    wrapper.break_long_words = cut
    return wrapper.wrap(text)


def as_json(report: StoreReport) -> dict[str, Any]:
    """Return the report as data."""
    contents = report.contents
    product = contents.product
    return {
        "good": report.good,
        "url": contents.url,
        "product": {"name": product.name, "version": product.version},
        "window": contents.window,
        "interval": contents.interval,
        "ways": [
            {
                "way": path.name,
                "because": path.because,
                "service_label": path.service_label,
                "instance_label": path.instance_label,
                "services": {name: sorted(own) for name, own in path.instances.items()},
                "age": contents.now - path.newest,
            }
            for path in report.paths
        ],
        "metrics": [{"metric": one.metric.name, "name": one.counted} for one in contents.stored],
        "missing": [
            {"metric": metric.name, "reason": own.text, "expected": not own.finding}
            for metric, own in missing(contents.stored).items()
            if contents.stored
        ],
        "queries": [asdict(outcome) for outcome in report.outcomes],
        "findings": [finding.to_dict() for finding in report.findings],
    }

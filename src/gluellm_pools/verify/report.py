"""What was found, as text for a terminal of 80 columns, or as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from opentelemetry.instrumentation.gluellm.diagnosis.findings import Severity
from opentelemetry.instrumentation.gluellm.text import counted, seconds

from ..text import printable
from .facts import Facts
from .finding import Finding, age_text
from .missing import missing
from .nothing import span
from .running import Outcome
from .ways import FURTHER, Arrival

_WIDTH = 80
_VALUE = 9
_NAME = 54
_OF = 60
_LONGEST_QUERY = 5000
_TROUBLE = (Severity.ERROR, Severity.WARNING)
_INSTANCES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Report:
    """All that is told."""

    url: str
    facts: Facts
    arrivals: Sequence[Arrival]
    findings: Sequence[Finding]
    outcomes: Sequence[Outcome]

    @property
    def good(self) -> bool:
        """Whether nothing is wrong, and no query is empty that should not be."""
        return not any(one.severity in _TROUBLE for one in self.findings) and all(
            outcome.fine for outcome in self.outcomes
        )


def as_text(report: Report, queries: bool = False) -> str:
    """The report in words, also with each query that was run.

    The findings come last, since that is what stays in sight.
    """
    facts = report.facts
    lines = [
        f"gluellm-pools verify: {facts.product} at {printable(report.url, 200)}",
        f"Looked at the last {span(facts.window)}.",
    ]
    if facts.stored and report.arrivals:
        lines += ["", *_ways(report), "", *_metrics(facts)]
    boards = dict.fromkeys(outcome.board for outcome in report.outcomes)
    for board in boards:
        of_board = [one for one in report.outcomes if one.board == board]
        lines += ["", *_queries(board, of_board, queries)]
    for finding in report.findings:
        lines += ["", *_finding(finding)]
    return "\n".join([*lines, "", *_wrapped(_verdict(report), "", "")])


def _ways(report: Report) -> list[str]:
    lines = ["THE WAY THAT THE DATA CAME"]
    for arrival in report.arrivals:
        lines += _wrapped(f"{arrival.name} ({arrival.because})", "  ", "    ")
        for what, label, values in _identity(arrival):
            head = f"    {what} is "
            told = f"the label {label}: {values}" if label else f"no label{values}"
            lines += _wrapped(head + told, "", "      ")
        age = report.facts.now - arrival.newest
        interval = report.facts.interval
        every = f", one every {seconds(interval)}" if interval is not None else ""
        lines.append(f"    newest sample {age_text(max(age, 0))} old{every}")
    return lines


def _identity(arrival: Arrival) -> list[tuple[str, str | None, str]]:
    services = ", ".join(
        f"{printable(service or '(none)')} ({_processes(len(instances))})"
        for service, instances in sorted(arrival.instances.items())
    )
    instances = sorted({one for several in arrival.instances.values() for one in several if one})
    shown = ", ".join(printable(one) for one in instances[:_INSTANCES_SHOWN])
    if len(instances) > _INSTANCES_SHOWN:
        shown += f" and {len(instances) - _INSTANCES_SHOWN} more"
    rows = [
        ("service", arrival.service_label, services),
        ("instance", arrival.instance_label, shown),
    ]
    for attribute in FURTHER:
        if attribute in arrival.further:
            rows.append((attribute, arrival.further[attribute], "on each series"))
        elif attribute in arrival.on_info:
            rows.append((attribute, None, ", but on target_info"))
    return rows


def _processes(number: int) -> str:
    return "1 process" if number == 1 else f"{number} processes"


def _metrics(facts: Facts) -> list[str]:
    gaps = missing(facts.stored)
    here = len({one.metric.name for one in facts.stored})
    lines = [
        f"METRICS: {here} of {here + len(gaps)} are there",
        f"  {'series':>6} {'now':>6}  name",
    ]
    for one in facts.stored:
        counts = facts.counts.get(one.counted, 0), facts.fresh.get(one.counted, 0)
        lines.append(f"  {counts[0]:6} {counts[1]:6}  {printable(one.counted, 64)}")
    by_reason: dict[str, list[str]] = {}
    for gap in gaps:
        by_reason.setdefault(gap.reason, []).append(gap.metric.name)
    unexpected = {gap.reason for gap in gaps if not gap.expected}
    for reason, names in by_reason.items():
        mark = "MISSING" if reason in unexpected else "absent"
        lines += _wrapped(f"{reason}: {', '.join(names)}", f"  {mark:>13}  ", " " * 17)
    return lines


def _queries(board: str, outcomes: Sequence[Outcome], queries: bool) -> list[str]:
    answered = sum(1 for one in outcomes if one.rows)
    title = f"BOARD {printable(board, 60)}" if board else "QUERIES"
    lines = [f"{title}: {answered} of {len(outcomes)} have an answer"]
    by_reason: dict[str, list[Outcome]] = {}
    for one in outcomes:
        if one.rows:
            told = f"{printable(one.where, _NAME)}{_among(one)}"
            lines += _wrapped(told, f"  {_value(one):>{_VALUE}}  ", " " * 15)
            if queries:
                lines.append(_promql(one))
        else:
            by_reason.setdefault(one.reason, []).append(one)
    for reason, several in sorted(by_reason.items(), key=lambda pair: not pair[1][0].fine):
        for one in several:
            mark = "no data" if one.fine else "NO DATA"
            lines.append(f"  {mark:>{_VALUE}}  {printable(one.where, _NAME)}")
            if queries:
                lines.append(_promql(one))
            elif board and not one.fine:
                lines += _wrapped(
                    printable(one.expression, 300), " " * 15, " " * 15, whole_words=True
                )
        lines += _wrapped(f"why: {printable(reason, 400)}", " " * 13, " " * 18)
    return lines


def _among(outcome: Outcome) -> str:
    """Which of several values is shown, and whose it is."""
    if outcome.rows == 1:
        return ""
    of = f": {printable(outcome.of, _OF)}" if outcome.of else ""
    return f" (highest of {outcome.rows}{of})"


def _promql(outcome: Outcome) -> str:
    # In one line however long, to be copied.
    return " " * 13 + printable(outcome.expression, _LONGEST_QUERY)


def _value(outcome: Outcome) -> str:
    value = outcome.value
    if value is None:
        return "NaN"
    if outcome.unit == "s":
        return seconds(value)
    if outcome.unit == "ratio":
        return f"{100 * value:.3g} %"
    whole = value == int(value) and abs(value) < 1e6
    gap = " " if outcome.unit[:1].isalpha() else ""
    return f"{int(value) if whole else f'{value:.3g}'}{gap}{outcome.unit}"


def _finding(finding: Finding) -> list[str]:
    lines = [f"{finding.severity.value.upper()}: {finding.kind.replace('_', ' ')}"]
    texts = (finding.observed, finding.explanation, finding.advice)
    for name, text in zip(("observed", "explanation", "advice"), texts, strict=True):
        head = f"  {name + ':':<13}"
        for number, part in enumerate(text.split("\n")):
            lines += _wrapped(part, " " * len(head) if number else head, " " * len(head))
    return lines


def _verdict(report: Report) -> str:
    errors = sum(one.severity is Severity.ERROR for one in report.findings)
    warnings = sum(one.severity is Severity.WARNING for one in report.findings)
    empty = sum(not outcome.fine for outcome in report.outcomes)
    if report.good:
        quiet = sum(not outcome.rows for outcome in report.outcomes)
        rest = f", but for {quiet} with nothing to show yet" if quiet else ""
        if report.facts.young is not None:
            return (
                f"Good so far: the data arrives, and queries have answers{rest}. Rates are too "
                f"low until there is data of {span(report.facts.rate_window)}."
            )
        return f"All good: the data arrives, and queries have answers{rest}."
    told = [
        counted(number, noun)
        for number, noun in ((errors, "error"), (warnings, "warning"))
        if number
    ]
    if empty:
        told.append("1 empty query" if empty == 1 else f"{empty} empty queries")
    return f"Found: {', '.join(told)}."


def _wrapped(text: str, first: str, rest: str, *, whole_words: bool = False) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
        break_long_words=not whole_words,
    )


def as_json(report: Report) -> dict[str, Any]:
    """The report as data; what it holds is told in docs/verify.md."""
    facts = report.facts
    return {
        "good": report.good,
        "url": report.url,
        "product": {"name": facts.product.kind.value, "version": facts.product.version},
        "window": facts.window,
        "interval": facts.interval,
        "ways": [
            {
                "way": arrival.name,
                "because": arrival.because,
                "service_label": arrival.service_label,
                "instance_label": arrival.instance_label,
                "services": {
                    service: sorted(several) for service, several in arrival.instances.items()
                },
                "age": facts.now - arrival.newest,
            }
            for arrival in report.arrivals
        ],
        "metrics": [
            {
                "metric": one.metric.name,
                "name": one.counted,
                "series": facts.counts.get(one.counted, 0),
                "series_now": facts.fresh.get(one.counted, 0),
            }
            for one in facts.stored
        ],
        "missing": [
            {"metric": gap.metric.name, "reason": gap.reason, "expected": gap.expected}
            for gap in (missing(facts.stored) if facts.stored else ())
        ],
        "queries": [asdict(outcome) for outcome in report.outcomes],
        "findings": [finding.as_json() for finding in report.findings],
    }

"""Runs queries, and says of each that is empty why it is."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.prometheus import (
    HISTOGRAM_SUFFIXES,
    label_name,
    metric_name,
)

from ..text import printable
from . import variables
from .asking import RefusedError, Store
from .boards import Board
from .facts import Facts, matched_values
from .missing import missing
from .naming import any_of, selector, styles_of
from .not_now import why_ended, why_no_rate
from .promql import Matcher, Selector, duration, selectors
from .queries import QUERIES
from .rows import labels_of
from .variables import Variable

_TOLD = 200
_EVENTS = (
    semconv.STATUS_CODE,
    semconv.ERROR_TYPE,
    semconv.REQUEST_RESEND,
    semconv.CLOSE_REASON,
    semconv.DISCARD_REASON,
    semconv.ANOMALY_TYPE,
    semconv.PROTOCOL_VERSION,
    semconv.TIMEOUT_KIND,
    semconv.INSTRUMENTATION_KIND,
)
"""Keys with values that come with the first such event."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One query and its answer."""

    where: str
    """The question, or the panel."""
    expression: str
    board: str = ""
    rows: int = 0
    value: float | None = None
    """The highest, what is no number left out; None without any."""
    of: str = ""
    """The values of the labels that this one has; empty where others have the same."""
    unit: str = ""
    reason: str = ""
    """Why there is no answer; empty where there is one."""
    fine: bool = True
    """Whether that is in order."""


def run_essential(store: Store, facts: Facts) -> list[Outcome]:
    """The queries of the package. Raises CannotAskError."""
    window = f"{facts.rate_window:.0f}s"
    outcomes = []
    for query in QUERIES:
        expression = query.promql(_narrowing(facts), window)
        blank = Outcome(query.question, expression, unit=query.unit)
        outcome = _run(store, facts, blank)
        if query.on_event and not outcome.rows and outcome.fine:
            outcome = _as(outcome, reason=outcome.reason or "nothing of this kind yet", fine=True)
        outcomes.append(outcome)
    return outcomes


def run_board(store: Store, facts: Facts, board: Board) -> list[Outcome]:
    """The queries of a board, its variables first. Raises CannotAskError."""
    if board.broken:
        outcome = Outcome("the file", board.title, board.title)
        return [_as(outcome, reason=printable(board.broken, _TOLD), fine=False)]
    interval = facts.interval or 15.0
    values = variables.built_in(facts.window, interval)
    outcomes = []
    for variable in board.variables:
        asked = variables.label_query(variable)
        options = None
        if asked is not None:
            label, of = asked[0], variables.filled_in(asked[1], values)
            options = _options(store, facts, label, of)
            if not options:
                outcome = Outcome(f"variable ${variable.name}", variable.query, board.title)
                reason, fine = _no_options(store, facts, variable, label, of)
                outcomes.append(_as(outcome, reason=reason, fine=fine))
        values[variable.name] = variables.value_of(variable, options)
    for target in (*board.targets, *board.annotations):
        unknown = variables.unknown_variables(target.expression, board.variables)
        if unknown:
            outcome = Outcome(target.panel, target.expression, board.title)
            names = printable(", ".join(f"${name}" for name in unknown), _TOLD)
            reason = f"the board does not define {names}"
            outcomes.append(_as(outcome, reason=reason, fine=False))
            continue
        step = duration(variables.filled_in(target.step, values)) or interval
        of_target = {**values, **variables.built_in(facts.window, step)}
        expression = variables.filled_in(target.expression, of_target)
        outcomes.append(_run(store, facts, Outcome(target.panel, expression, board.title)))
    return outcomes


def _options(store: Store, facts: Facts, label: str, of: str) -> list[str]:
    parameters = {
        "start": f"{facts.now - facts.window:.0f}",
        "end": f"{facts.now + 1:.0f}",
        "limit": "1000",
    }
    if of:
        parameters["match[]"] = of
    try:
        return store.label_values(label, **parameters)
    except RefusedError:
        return []


def _no_options(
    store: Store, facts: Facts, variable: Variable, label: str, of: str
) -> tuple[str, bool]:
    for one in selectors(of):
        reason = _why_no_series(store, facts, one)
        if reason is not None:
            return f"it offers no value: {reason[0]}", False
    series = printable(of or "the store")
    return f"it offers no value: no series of {series} has {label!r}", variable.may_be_empty


def _run(store: Store, facts: Facts, outcome: Outcome) -> Outcome:
    try:
        rows = store.query(outcome.expression, facts.now)
    except RefusedError as error:
        return _as(outcome, reason=f"the store refuses it: {error}", fine=False)
    if rows:
        return _answered(outcome, rows)
    reason, fine = why_empty(store, facts, outcome.expression)
    return _as(outcome, reason=reason, fine=fine)


def _answered(outcome: Outcome, rows: Sequence[dict[str, Any]]) -> Outcome:
    known = [(value, row) for row in rows if (value := _value(row)) is not None]
    if not known:
        return replace(outcome, rows=len(rows))
    best = max(value for value, _ in known)
    holding = [labels_of(row) for value, row in known if value == best]
    of = " ".join(holding[0].values()) if len(holding) == 1 and len(known) > 1 else ""
    return replace(outcome, rows=len(rows), value=best, of=of)


def _as(outcome: Outcome, *, reason: str, fine: bool) -> Outcome:
    return replace(outcome, reason=reason, fine=fine)


def _value(row: dict[str, object]) -> float | None:
    pair = row.get("value")
    try:
        value = float(pair[1])  # type: ignore[index]
    except (TypeError, ValueError, IndexError):
        return None
    return value if math.isfinite(value) else None


def why_empty(store: Store, facts: Facts, expression: str) -> tuple[str, bool]:
    """Why a query has no answer, and whether that is in order. Raises CannotAskError."""
    asked = selectors(expression)
    for one in asked:
        try:
            reason = _why_no_series(store, facts, one)
        except RefusedError:
            continue
        if reason is not None:
            return reason
    if re.search(r"[<>]|[!=]=", re.sub(r'"[^"]*"', "", _without_matchers(expression))):
        return "its comparison holds for none of the series, which is an answer too", True
    if re.search(r"\bunless\b", expression):
        return "its `unless` leaves none of the series, which is an answer too", True
    if len(asked) > 1:
        return "each part has series, and no labels of one side fit the other's", False
    return "the series are there, and the query gives nothing of them", False


def _without_matchers(expression: str) -> str:
    return re.sub(r"\{[^{}]*\}", "", expression)


def _why_no_series(store: Store, facts: Facts, one: Selector) -> tuple[str, bool] | None:
    """Why a selector has no series now; None when it has some."""
    if not one.name:
        return None
    if not _count(store, facts, one.name, ()):
        return _why_no_name(facts, one.name)
    if not _count(store, facts, one.name, one.matchers):
        return _why_no_match(store, facts, one)
    chosen = selector(one.name, map(str, one.matchers))
    if not store.query(f"count({chosen})", facts.now):
        return why_ended(facts, one.name)
    return why_no_rate(store, facts, one, chosen)


def _count(store: Store, facts: Facts, name: str, matchers: Sequence[Matcher]) -> bool:
    chosen = selector(name, map(str, matchers))
    return bool(
        store.query(f"count(last_over_time({chosen}[{max(facts.window, 1):.0f}s]))", facts.now)
    )


def _why_no_name(facts: Facts, name: str) -> tuple[str, bool]:
    base = name
    for suffix in HISTOGRAM_SUFFIXES:
        base = base.removesuffix(suffix)
    for one in facts.stored:
        if base == metric_name(one.metric):
            if one.native:
                return f"{base} is stored as a native histogram, without _bucket", False
            if one.name != base:
                how = [f"the prefix {one.prefix}"] if one.prefix else []
                how += [style.value for style in styles_of(facts.stored)[:1]]
                return f"its metric is stored under another name: {', '.join(how)}", False
    for gap in missing(facts.stored):
        if base == metric_name(gap.metric):
            return gap.reason, gap.expected
    told = printable(name, 80)
    if ":" in name:
        return f"there is no {told}: its recording rule isn't loaded, or has not run yet", False
    return f"there is no metric {told} in the store", False


def _why_no_match(store: Store, facts: Facts, one: Selector) -> tuple[str, bool]:
    events = {label_name(key) for key in _EVENTS}
    for condition in one.matchers:
        if _count(store, facts, one.name, (condition,)):
            continue
        there = _options(store, facts, condition.label, selector(one.name))
        told = printable(str(condition), 80)
        if not there:
            if condition.label in events:
                return f"no series with {told} yet: it comes with the first", True
            return f"no series of {one.name} has the label {condition.label}", False
        values = printable(", ".join(there[:5]), 80)
        fine = condition.label in events
        return f"no series of {one.name} with {told}; it has {values}", fine
    told = printable(", ".join(map(str, one.matchers)), 120)
    return f"no series of {one.name} fits all of {told} at once", False


def _narrowing(facts: Facts) -> str:
    if facts.service is None:
        return ""
    found = matched_values(facts.processes, facts.service)
    return next((any_of(label, values) for label, values in found.items()), "")

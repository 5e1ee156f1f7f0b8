"""Runs queries, and gives the reason for each empty answer."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.resources import files

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.text import seconds

from ..prometheus import label_name, metric_name, series_names
from ..text import duration, printable
from .boards import Board, built_in, filled_in, first_value, label_query
from .client import RefusedError, Store
from .contents import LOOKBACK, Contents
from .metrics import missing
from .promql import Selector, selector, selectors

_STATUSES = (semconv.STATUS_CODE, semconv.ERROR_TYPE, semconv.REQUEST_RESEND, semconv.TIMEOUT_KIND)
_KINDS = (semconv.CLOSE_REASON, semconv.DISCARD_REASON, semconv.ANOMALY_TYPE)
_OTHERS = (semconv.PROTOCOL_VERSION, semconv.INSTRUMENTATION_KIND)
_EVENT_LABELS = {label_name(key) for key in (*_STATUSES, *_KINDS, *_OTHERS)}
"""Labels whose values begin with the first such event."""
_METRICS = {name: one for one in semconv.METRICS for name in (metric_name(one), *series_names(one))}
"""The contract's metrics by the names of their series."""
NO_RULES = "the recording rules are not loaded, or have not run yet"
Why = tuple[str, bool]
"""Why an answer is empty, and whether that is in order."""


@dataclass(frozen=True, slots=True)
class Query:
    """A question and its PromQL template."""

    question: str
    template: str
    unit: str
    """Of the answer: ``s``, ``ratio``, ``/s``, ``s/s`` or empty for a plain number."""

    def promql(self, matchers: str = "", window: str = "5m") -> str:
        """Return the query with label matchers such as ``job="api"`` and a window for its rates."""
        return self.template.replace("%matchers%", matchers).replace("%window%", window)


# Made by dashboards/gluellm_dashboards/essential.py.
_FILE = files(__package__).joinpath("queries.json")
QUERIES = tuple(Query(**one) for one in json.loads(_FILE.read_text(encoding="utf-8")))
"""The essential queries."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """A query and its answer."""

    where: str
    """The question, or the panel."""
    expression: str
    board: str = ""
    rows: int = 0
    value: float | None = None
    """The highest finite value; None without any."""
    of: str = ""
    """The values of the labels of the row with the highest value; empty if several have it."""
    unit: str = ""
    reason: str = ""
    """Why there is no answer; empty if there is one."""
    fine: bool = True
    """Whether that is in order."""


def run_essential(store: Store, contents: Contents) -> Iterator[QueryResult]:
    """Run the package's queries. Raises CannotAskError."""
    window = f"{max(LOOKBACK, 4 * (contents.interval or 0)):.0f}s"
    for query in QUERIES:
        promql = query.promql(",".join(contents.matchers), window)
        yield _run(store, contents, QueryResult(query.question, promql, unit=query.unit))


def run_board(store: Store, contents: Contents, board: Board) -> Iterator[QueryResult]:
    """Run the queries of a board, its variables first. Raises CannotAskError."""
    if board.broken:
        yield QueryResult("the file", board.title, board.title, reason=board.broken, fine=False)
    interval = contents.interval or 15.0
    values = built_in(contents.window, interval)
    for variable in board.variables:
        options = None
        if (query := label_query(variable)) is not None:
            label, of = query[0], filled_in(query[1], values)
            options = _label_values(store, contents, label, of)
            if not options:
                # With .* as the value of All, queries also match series without the label.
                no_label = f"no series of {printable(of or 'the store', 200)} has {label!r}"
                why = _why_no_series_of_any(store, contents, of)
                reason, fine = why or (no_label, variable.all_value == ".*")
                blank = QueryResult(f"variable ${variable.name}", variable.query, board.title)
                yield replace(blank, reason=f"it has no value: {reason}", fine=fine)
        values[variable.name] = first_value(variable, options)
    for target in board.targets:
        step = duration(filled_in(target.step, values)) or interval
        own = {**values, **built_in(contents.window, step)}
        promql = filled_in(target.expression, own)
        yield _run(store, contents, QueryResult(target.panel, promql, board.title))


def _run(store: Store, contents: Contents, outcome: QueryResult) -> QueryResult:
    try:
        rows = store.query(outcome.expression, contents.now)
    except RefusedError as error:
        return replace(outcome, reason=f"the store rejects the query: {error}", fine=False)
    if not rows:
        reason, fine = _why_empty(store, contents, outcome.expression)
        return replace(outcome, reason=reason, fine=fine)
    finite = [row for row in rows if math.isfinite(row.value)]
    value = max((row.value for row in finite), default=None)
    best = [row for row in finite if row.value == value]
    of = " ".join(best[0].labels.values()) if len(best) == 1 < len(finite) else ""
    return replace(outcome, rows=len(rows), value=value, of=of)


def _why_empty(store: Store, contents: Contents, promql: str) -> Why:
    if why := _why_no_series_of_any(store, contents, promql):
        return why
    bare = re.sub(r'"[^"]*"|\{[^{}]*\}', "", promql)
    if re.search(r"[<>]|[!=]=|\bunless\b", bare):
        return "no series meets the query's condition, which is normal", True
    if len(selectors(promql)) > 1:
        return "each part has series, but the labels of its sides do not match", False
    return "the series exist, but the query returns none of them", False


def _why_no_series_of_any(store: Store, contents: Contents, promql: str) -> Why | None:
    """Explain the first selector of a query without series; None if all have some."""
    for one in selectors(promql):
        try:
            why = _why_no_series(store, contents, one)
        except RefusedError:
            continue
        if why is not None:
            return why
    return None


def _why_no_series(store: Store, contents: Contents, one: Selector) -> Why | None:
    def exists(*matchers: str) -> bool:
        past = f"last_over_time({selector(one.name, matchers)}[{contents.window:.0f}s])"
        return bool(store.query(f"count({past})", contents.now))

    # Another service may have the metric.
    if not exists(*(contents.matchers if one.name in _METRICS else ())):
        if query := contents.rules.get(one.name):
            # Without this rule, so that a rule that refers to itself ends.
            others = {name: of for name, of in contents.rules.items() if name != one.name}
            why = _why_no_series_of_any(store, replace(contents, rules=others), query)
            if why is None:
                return "its recording rule is loaded, but has not run yet", False
            return f"its recording rule is loaded, but its source is missing: {why[0]}", why[1]
        return _why_no_name(contents, one.name)
    for label, text in one.matchers:
        if not exists(text):
            fine, shown = label in _EVENT_LABELS, printable(text, 80)
            if there := _label_values(store, contents, label, selector(one.name)):
                values = printable(", ".join(there[:5]), 80)
                return f"no series of {one.name} with {shown}; it has {values}", fine
            no_event = f"no series with {shown} yet: the first such event creates it"
            return no_event if fine else f"no series of {one.name} has the label {label}", fine
    matchers = [text for _, text in one.matchers]
    if not exists(*matchers):
        return f"no series of {one.name} matches {printable(', '.join(matchers), 120)}", False
    chosen = selector(one.name, matchers)
    if not store.query(f"count({chosen})", contents.now):
        return _why_ended(contents, one.name)
    return _why_no_rate(store, contents, one, chosen)


def _why_no_name(contents: Contents, name: str) -> Why:
    metric, shown = _METRICS.get(name), printable(name, 80)
    for one in contents.stored:
        if one.metric is metric:
            form = "a native histogram, without _bucket" if one.native else printable(one.name, 80)
            return f"its metric is stored as {form}", False
    if metric is not None:
        reason = missing(contents.stored)[metric]
        return reason.text, not reason.finding
    if ":" in name:
        return NO_RULES, False
    return f"the store has no metric {shown}", False


def _why_ended(contents: Contents, name: str) -> Why:
    if not contents.fresh:
        return "no sample for 5 min: nothing is exported any more", False
    fresh = [one for one in contents.stored if one.counted in contents.fresh]
    metric = _METRICS.get(name)
    if metric is not None and (reason := missing(fresh).get(metric)):
        return f"no sample for 5 min: {reason.text}", not reason.finding
    return "the series with these labels have ended, others continue", True


def _why_no_rate(store: Store, contents: Contents, one: Selector, chosen: str) -> Why | None:
    if one.window is None:
        return None
    samples = f"max(count_over_time({chosen}[{one.window * 1000:.0f}ms]))"
    if (rows := store.query(samples, contents.now)) and rows[0].number >= 2:
        return None
    if contents.interval is None or one.window >= 2 * contents.interval:
        # 60 s is the default interval of the SDK.
        due = f"count(time() - timestamp({chosen}) < {2 * (contents.interval or 60):g})"
        why = "a rate needs two samples, and there is only one: wait for the next"
        return why, bool(store.query(due, contents.now))
    return (
        f"its window of {one.window:g} s contains fewer than two samples, which are "
        f"{seconds(contents.interval)} apart: use at least {seconds(4 * contents.interval)}"
    ), False


def _label_values(store: Store, contents: Contents, label: str, of: str) -> list[str]:
    parameters = {"start": f"{contents.now - contents.window:.0f}", "limit": "1000"}
    parameters |= {"end": f"{contents.now + 1:.0f}"} | ({"match[]": of} if of else {})
    try:
        return store.label_values(label, **parameters)
    except RefusedError:
        return []

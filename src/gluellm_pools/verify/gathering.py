"""Asks a store for what is judged later, with few questions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.semconv import Instrument, Metric

from . import naming
from .asking import Store
from .facts import LONG_AGO, Facts, Series, matched_label, matched_values, service_label
from .falling import falling
from .looking import Look, counted_names
from .naming import Stored
from .processes import OF_PROCESSES, newest_times
from .processes import processes as listed
from .product import Product
from .rhythm import interval, writers
from .rows import labels_of, number_of

_FAILURES = (semconv.INSTRUMENTATION_ERRORS, semconv.INSTRUMENTATION_DROPPED)
_GAUGES = (Instrument.OBSERVABLE_GAUGE, Instrument.OBSERVABLE_UP_DOWN_COUNTER)
_AHEAD = 3600.0


def gather(store: Store, product: Product, window: float, service: str | None = None) -> Facts:
    """Ask for all that is judged later. Raises RefusedError, CannotAskError."""
    ask = Look(store, window, service)
    blank = Facts(product, ask.now, window, service=service, url=store.url)
    now = ask.now
    names = ask.names(now - window, now)
    # A store tells the names of a whole block of hours, so they are counted in the window first.
    known = naming.stored(names)
    counts = _counted(ask, known, [[]], f"last_over_time({{}}[{ask.range}])")
    found = [one for one in known if counts.get(one.counted)]
    facts: dict[str, Any] = {"stored": found, "foreign": naming.foreign(names, known)}
    facts["unknown"] = _unknown(names, known)
    if not found:
        facts["earlier"] = _at_all(ask, ask.names(now - LONG_AGO, now), LONG_AGO, now)
        facts["ahead"] = _at_all(ask, ask.names(now, now + _AHEAD), _AHEAD, now + _AHEAD)
        facts["down"] = _down(ask)
        facts["empty"] = not _at_all_of(ask, _any_names(ask), window, now)
        return _with(blank, facts)
    processes = listed(ask, found)
    services = {one.labels.get(service_label(one.labels) or "", "") for one in processes}
    facts["services"] = sorted(filter(None, services))
    if service is not None:
        processes = [one for one in processes if matched_label(one.labels, service)]
    facts["processes"] = processes
    narrowed = _narrowed(processes, service)
    if service is not None and not processes:
        return _with(blank, facts)
    if service is not None:
        counts = _counted(ask, known, narrowed, f"last_over_time({{}}[{ask.range}])")
        facts["stored"] = found = [one for one in known if counts.get(one.counted)]
    facts["counts"] = counts
    facts["fresh"] = _counted(ask, found, narrowed, "{}")
    facts["newest_names"] = _newest_names(ask, found, narrowed, facts)
    facts["targets"] = _targets(ask, processes)
    facts["scraped"] = _scraped(ask, found)
    if not facts["fresh"]:
        facts["down"] = _down(ask)
    facts["info"] = [
        labels_of(row)
        for name in ("target_info", "target.info")
        if name in names
        for row in ask.rows(f"last_over_time({naming.selector(name)}[{ask.range}])")
    ]
    times = newest_times(ask, found, processes)
    facts["writers"] = writers(times)
    facts["interval"] = interval(times, facts["writers"])
    moment = _with(blank, {"processes": processes}).moment
    facts["falling"] = falling(ask, found, narrowed, moment)
    hooks = _positive(ask, found, narrowed, [semconv.HOOK_MISSING], semconv.HOOK_LIBRARY)
    facts["missing_hooks"] = dict(sorted(hooks))  # the highest of each library
    failures: dict[str, float] = {}
    for kind, count in _positive(ask, found, narrowed, _FAILURES, semconv.INSTRUMENTATION_KIND):
        failures[kind] = failures.get(kind, 0.0) + count
    facts["failures"] = failures
    return _with(blank, facts)


def _at_all(ask: Look, names: Sequence[str], span: float, end: float) -> bool:
    """Whether the contract's metrics had a sample in the span before a moment."""
    known = naming.stored(names)
    return _at_all_of(
        ask, counted_names(known, OF_PROCESSES) or [one.counted for one in known[:1]], span, end
    )


def _at_all_of(ask: Look, names: Sequence[str], span: float, end: float) -> bool:
    # A name alone is no sample: one that the store refused leaves its name behind.
    return any(
        ask.store.query(f"count(last_over_time({naming.selector(name)}[{span:.0f}s]))", end)
        for name in names
    )


def _any_names(ask: Look) -> list[str]:
    start, end = f"{ask.now - ask.window:.0f}", f"{ask.now + 1:.0f}"
    return ask.store.label_values("__name__", start=start, end=end, limit="10")[:10]


def _with(facts: Facts, known: dict[str, Any]) -> Facts:
    return replace(facts, **known)


def _unknown(names: Sequence[str], found: Sequence[Stored]) -> list[str]:
    known = {one.name for one in found}
    rest = set()
    for name in names:
        base = re.sub(r"_(bucket|sum|count|created)$", "", name)
        if name in known or base in known or re.fullmatch(naming.FOREIGN_NAMES, name):
            continue
        # prometheus_client tells when a counter began, under a name of its own.
        if name.endswith("_created") or name in ("target_info", "target.info"):
            continue
        # Recording rules name what they make after what they take.
        if ":" in name or base.endswith(tuple(f"_{one}" for one in known)):
            continue
        rest.add(name)
    return sorted(rest)


def _narrowed(processes: Sequence[Series], service: str | None) -> list[list[str]]:
    """Matchers to ask with, one list for each label that holds the service."""
    if service is None:
        return [[]]
    found = matched_values(processes, service)
    return [[naming.any_of(label, values)] for label, values in found.items()]


def _newest_names(
    ask: Look, found: Sequence[Stored], narrowed: Sequence[Sequence[str]], facts: dict[str, Any]
) -> set[str] | None:
    """Names with samples within the patience for those that live."""
    living = [one for one in facts["processes"] if one.lives(ask.now)]
    if not living:
        return None
    span = max(one.within for one in living)
    recent = _counted(ask, found, narrowed, f"last_over_time({{}}[{span:.0f}s])")
    return set(recent) & set(facts["fresh"])


def _counted(
    ask: Look, found: Sequence[Stored], narrowed: Sequence[Sequence[str]], pattern: str
) -> dict[str, int]:
    counts: dict[str, int] = {}
    if not found:
        return counts
    wanted = json.dumps("|".join(sorted({re.escape(one.counted) for one in found})))
    for matchers in narrowed:
        chosen = "{" + ",".join([f"__name__=~{wanted}", *matchers]) + "}"
        for row in ask.rows(f"count by (__name__)({pattern.replace('{}', chosen)})"):
            name = labels_of(row, keep_name=True).get("__name__", "")
            counts[name] = counts.get(name, 0) + int(number_of(row))
    return counts


def _targets(ask: Look, processes: Sequence[Series]) -> dict[tuple[str, str], float]:
    targets = {}
    for label in ("job", "instance"):
        values = sorted({one.labels[label] for one in processes if label in one.labels})[:50]
        if not values:
            continue
        pattern = json.dumps("|".join(re.escape(value) for value in values), ensure_ascii=False)
        one = f"up{{{label}=~{pattern}}}"
        # A target that is no longer there was perhaps down at last: that is no trouble now.
        for expression in (f"1 + 0 * last_over_time({one}[{ask.range}])", one):
            for row in ask.rows(expression):
                labels = labels_of(row)
                targets[labels.get("job", ""), labels.get("instance", "")] = number_of(row)
    return targets


def _scraped(ask: Look, found: Sequence[Stored]) -> bool | None:
    # Metadata of counters is kept without their suffix, so a metric without one is asked for.
    gauges = [one for one in found if one.metric.instrument in _GAUGES]
    for one in gauges[:2]:
        answer = ask.store.status("/api/v1/targets/metadata", metric=one.name, limit="1")
        if not isinstance(answer, list):
            return None
        if answer:
            return True
    return False if gauges else None


def _down(ask: Look) -> list[str]:
    answer = ask.store.status("/api/v1/targets", state="active")
    targets = answer.get("activeTargets") if isinstance(answer, dict) else None
    return [
        f"{target.get('scrapePool')} {target.get('scrapeUrl')}: {target.get('lastError')}"
        for target in (targets if isinstance(targets, list) else ())
        if isinstance(target, dict) and target.get("health") == "down"
    ]


def _positive(
    ask: Look,
    found: Sequence[Stored],
    narrowed: Sequence[Sequence[str]],
    metrics: Sequence[Metric],
    key: str,
) -> Iterator[tuple[str, float]]:
    """Values above 0 of these metrics, each with its value of an attribute."""
    for name in counted_names(found, metrics):
        for matchers in narrowed:
            for row in ask.rows(f"topk(1000, {naming.selector(name, matchers)} > 0)"):
                labels = labels_of(row)
                own = next((labels[form] for form in _forms(key) if form in labels), "?")
                yield own, number_of(row)


def _forms(key: str) -> tuple[str, str]:
    """The labels that an attribute can be stored as."""
    return key.replace(".", "_"), key

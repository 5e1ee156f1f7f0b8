"""Asks a store for what is judged later, with few questions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from ...telemetry import semconv
from . import naming
from .asking import Store
from .facts import LONG_AGO, Facts, Labels, Series, service_label
from .naming import Stored
from .product import Product
from .rhythm import interval, writers
from .rows import labels_of, number_of, times_of

_OF_PROCESSES = (semconv.EVENT_LOOP_LAG_PEAK, semconv.INSTRUMENTATION_DROPPED, semconv.POOL_LIVE)
"""Few series per process, the first two from instrument() on: they tell processes apart."""
_OF_RESETS = (
    semconv.REQUEST_TIME,
    semconv.REQUESTS,
    semconv.POOL_OPENED,
    semconv.CONNECTION_OPENED,
    semconv.LEASE_DURATION,
)
_AHEAD = 3600.0


class _Gathering:
    def __init__(self, store: Store, product: Product, window: float, service: str | None) -> None:
        self.store = store
        self.window = window
        self.service = service
        self.now = number_of(next(iter(store.query("time()")), {}))
        self.facts = Facts(product, self.now, window, service=service)
        self.range = f"{max(int(window), 1)}s"

    def names(self, start: float, end: float) -> list[str]:
        return self.store.label_values(
            "__name__",
            **{"match[]": f'{{__name__=~"{naming.NAMES}"}}'},
            start=f"{start:.0f}",
            end=f"{end + 1:.0f}",  # samples of this very second included
        )

    def rows(self, expression: str) -> list[dict[str, Any]]:
        return self.store.query(expression, self.now)


def gather(store: Store, product: Product, window: float, service: str | None = None) -> Facts:
    """Ask for all that is judged later. Raises RefusedError, CannotAskError."""
    ask = _Gathering(store, product, window, service)
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
        facts["empty"] = not _at_all_of(ask, _any_names(ask), window, now)
        return _with(ask.facts, facts)
    processes = _processes(ask, found)
    facts["processes"] = processes
    narrowed = _narrowed(processes, service)
    if service is not None and not processes:
        return _with(ask.facts, facts)
    if service is not None:
        counts = _counted(ask, known, narrowed, f"last_over_time({{}}[{ask.range}])")
        facts["stored"] = found = [one for one in known if counts.get(one.counted)]
    facts["counts"] = counts
    facts["fresh"] = _counted(ask, found, narrowed, "{}")
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
    times = _newest_times(ask, found, processes)
    facts["writers"] = writers(times)
    facts["interval"] = interval(times, facts["writers"])
    facts["resets"] = _resets(ask, found, narrowed)
    facts["blind"] = _blind(ask, found, narrowed)
    facts["failures"] = _failures(ask, found, narrowed)
    return _with(ask.facts, facts)


def _at_all(ask: _Gathering, names: Sequence[str], span: float, end: float) -> bool:
    """Whether the contract's metrics had a sample in the span before a moment."""
    known = naming.stored(names)
    return _at_all_of(
        ask, _of(known, _OF_PROCESSES) or [one.counted for one in known[:1]], span, end
    )


def _at_all_of(ask: _Gathering, names: Sequence[str], span: float, end: float) -> bool:
    # A name alone is no sample: one that the store refused leaves its name behind.
    return any(
        ask.store.query(f"count(last_over_time({naming.selector(name)}[{span:.0f}s]))", end)
        for name in names
    )


def _any_names(ask: _Gathering) -> list[str]:
    start, end = f"{ask.now - ask.window:.0f}", f"{ask.now + 1:.0f}"
    return ask.store.label_values("__name__", start=start, end=end, limit="10")[:10]


def _with(facts: Facts, known: dict[str, Any]) -> Facts:
    return Facts(facts.product, facts.now, facts.window, service=facts.service, **known)


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
        rest.add(name)
    return sorted(rest)


def _narrowed(processes: Sequence[Series], service: str | None) -> list[list[str]]:
    """Matchers to ask with, one list for each label that holds the service."""
    if service is None:
        return [[]]
    labels = {service_label(one.labels) for one in processes}
    return [[naming.matcher(label, service)] for label in sorted(filter(None, labels))]


def _of(found: Sequence[Stored], metrics: Iterable[semconv.Metric]) -> list[str]:
    wanted = list(metrics)
    return [one.counted for one in found if one.metric in wanted]


def _processes(ask: _Gathering, found: Sequence[Stored]) -> list[Series]:
    # The instant query knows the very last sample; the other one, which looks at some moments
    # only, those that ended before.
    step = max(int(ask.window / 60), 15)
    last: dict[tuple[tuple[str, str], ...], float] = {}
    for name in _of(found, _OF_PROCESSES) or [found[0].counted]:
        one = naming.selector(name)
        for expression in (
            f"max_over_time(timestamp({one})[{ask.range}:{step}s])",
            f"timestamp({one})",
        ):
            for row in ask.rows(expression):
                key = tuple(sorted(labels_of(row).items()))
                last[key] = max(last.get(key, 0.0), number_of(row))
    series = [Series(dict(key), when) for key, when in last.items()]
    if ask.service is None:
        return series
    return [one for one in series if one.labels.get(service_label(one.labels) or "") == ask.service]


def _counted(
    ask: _Gathering, found: Sequence[Stored], narrowed: Sequence[Sequence[str]], pattern: str
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


def _targets(ask: _Gathering, processes: Sequence[Series]) -> dict[tuple[str, str], float]:
    targets = {}
    for label in ("job", "instance"):
        values = sorted({one.labels[label] for one in processes if label in one.labels})[:50]
        if not values:
            continue
        pattern = json.dumps("|".join(re.escape(value) for value in values), ensure_ascii=False)
        expression = f"last_over_time(up{{{label}=~{pattern}}}[{ask.range}])"
        for row in ask.rows(expression):
            labels = labels_of(row)
            targets[labels.get("job", ""), labels.get("instance", "")] = number_of(row)
    return targets


def _scraped(ask: _Gathering, found: Sequence[Stored]) -> bool | None:
    # Metadata of counters is kept without their suffix, so a gauge is asked for.
    gauges = [one for one in found if one.metric.instrument == semconv.Instrument.OBSERVABLE_GAUGE]
    for one in gauges[:2]:
        answer = ask.store.status("/api/v1/targets/metadata", metric=one.name, limit="1")
        if not isinstance(answer, list):
            return None
        if answer:
            return True
    return False if gauges else None


def _down(ask: _Gathering) -> list[str]:
    answer = ask.store.status("/api/v1/targets", state="active")
    targets = answer.get("activeTargets") if isinstance(answer, dict) else None
    return [
        f"{target.get('scrapePool')} {target.get('scrapeUrl')}: {target.get('lastError')}"
        for target in targets or ()
        if isinstance(target, dict) and target.get("health") == "down"
    ]


def _newest_times(
    ask: _Gathering, found: Sequence[Stored], processes: Sequence[Series]
) -> list[float]:
    """When the samples of one series, which had the newest, were taken in its last 10 minutes."""
    if not processes:
        return []
    newest = max(processes, key=lambda one: one.last)
    matchers = [naming.matcher(*pair) for pair in sorted(newest.labels.items())]
    moment = newest.last + 0.001
    for name in _of(found, _OF_PROCESSES):
        expression = f"{naming.selector(name, matchers)}[10m]"
        for row in ask.store.query(expression, moment)[:1]:
            return times_of(row)
    return []


def _resets(
    ask: _Gathering, found: Sequence[Stored], narrowed: Sequence[Sequence[str]]
) -> list[tuple[Labels, float, float]]:
    worst = []
    for name in _of(found, _OF_RESETS):
        for matchers in narrowed:
            series = f"{naming.selector(name, matchers)}[{ask.range}]"
            falls = ask.rows(f"topk(3, resets({series}) >= 3)")
            for row in falls:
                labels = labels_of(row)
                own = [naming.matcher(*pair) for pair in sorted(labels.items())]
                own_series = f"{naming.selector(name, own)}[{ask.range}]"
                samples = ask.rows(f"count_over_time({own_series})")
                worst.append((labels, number_of(row), number_of(samples[0]) if samples else 0.0))
    return worst


def _blind(
    ask: _Gathering, found: Sequence[Stored], narrowed: Sequence[Sequence[str]]
) -> list[tuple[str, str]]:
    pairs = set()
    for name in _of(found, [semconv.SEAM]):
        for matchers in narrowed:
            for row in ask.rows(f"{naming.selector(name, matchers)} == 0"):
                labels = labels_of(row)
                pairs.add(
                    tuple(
                        next((labels[form] for form in _forms(key) if form in labels), "?")
                        for key in (semconv.POOL_LIBRARY, semconv.SEAM_NAME)
                    )
                )
    return sorted((library, seam) for library, seam in pairs)


def _failures(
    ask: _Gathering, found: Sequence[Stored], narrowed: Sequence[Sequence[str]]
) -> dict[str, float]:
    kinds: dict[str, float] = {}
    for name in _of(found, [semconv.INSTRUMENTATION_ERRORS, semconv.INSTRUMENTATION_DROPPED]):
        for matchers in narrowed:
            for row in ask.rows(f"topk(20, {naming.selector(name, matchers)} > 0)"):
                labels = labels_of(row)
                key = semconv.INSTRUMENTATION_KIND
                kind = next((labels[form] for form in _forms(key) if form in labels), "?")
                kinds[kind] = kinds.get(kind, 0.0) + number_of(row)
    return kinds


def _forms(key: str) -> tuple[str, str]:
    """The labels that an attribute can be stored as."""
    return key.replace(".", "_"), key

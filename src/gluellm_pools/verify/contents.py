"""Queries a store for everything that the report and its findings rest on."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from opentelemetry.instrumentation.gluellm.telemetry import semconv

from ..prometheus import label_name
from .client import Series, Store
from .metrics import NAMES, Stored, stored
from .product import Product
from .promql import matcher, selector

Labels = dict[str, str]
PROCESS_LABELS = ("job", "instance", "service_name", "service_instance_id")
LOOKBACK = 300.0
"""Seconds after which a query no longer sees a series without samples."""
_RECENT, _STEP = 600, 15
"""Seconds whose samples are examined, and the distance of the moments that subqueries look at."""
_OF_PROCESSES = (semconv.INSTRUMENTATION_DROPPED, semconv.EVENT_LOOP_LAG_PEAK, semconv.POOL_LIVE)
"""Metrics with few series per process. The first exists from ``instrument()`` on."""
_FAILURES = (semconv.INSTRUMENTATION_ERRORS, semconv.INSTRUMENTATION_DROPPED)
_COUNTERS = (semconv.REQUEST_TIME, semconv.REQUESTS, semconv.POOL_OPENED)
_FALLS, _SHARE_OF_FALLS = 3, 0.2
"""Falls of a counter from which two processes share the series. Restarts cause fewer."""
_SERVICE_LABELS = ("exported_job", "job", "service_name", "service.name")
"""Labels that can contain ``service.name``, by precedence."""


@dataclass(frozen=True, slots=True)
class StoredProcess:
    """A series that represents a process, or one of its pools."""

    labels: Labels
    last: float
    """Time of its newest sample, in seconds since the epoch."""
    lives: bool = True
    """Whether it gets samples: the newest is at most three intervals old."""


@dataclass(slots=True)
class Contents:
    """The answers of a store."""

    product: Product
    url: str
    """Without credentials."""
    now: float
    """The store's clock."""
    window: float
    """Seconds that the report looks back."""
    service: str | None = None
    """The service that the report is limited to."""
    stored: list[Stored] = field(default_factory=list)
    fresh: set[str] = field(default_factory=set)
    """Names of the stored metrics that a query sees now."""
    processes: list[StoredProcess] = field(default_factory=list)
    services: list[str] = field(default_factory=list)
    """All services with data."""
    matchers: list[str] = field(default_factory=list)
    """PromQL matchers for the service."""
    targets: set[tuple[str, str]] = field(default_factory=set)
    """Job and instance of scrape targets that share one of them with a process."""
    interval: float | None = None
    """Seconds between two samples of one series."""
    rules: dict[str, str] = field(default_factory=dict)
    """Queries of the loaded recording rules, by name, where the store lists them."""
    falling: tuple[Labels, float] | None = None
    """A counter that falls, and the share of its recent samples that are below the one before."""
    others: list[str] = field(default_factory=list)
    """Names of other instrumentations, or of another version, if there is nothing else."""
    empty: bool = False
    """Whether the store has no series at all in the window."""
    failures: list[str] = field(default_factory=list)
    """Failures and lost records of the instrumentation, by kind."""
    down: list[str] = field(default_factory=list)
    """Targets that cannot be scraped, each with the reason, if nothing is fresh."""

    @property
    def living(self) -> list[StoredProcess]:
        """The processes to judge: those that get samples, or else those with the newest."""
        newest = max((one.last for one in self.processes), default=0.0)
        return [one for one in self.processes if one.lives] or [
            one for one in self.processes if newest - one.last <= LOOKBACK
        ]


def service_label(labels: Labels) -> str | None:
    """Return the label with the service's name."""
    return next((label for label in _SERVICE_LABELS if label in labels), None)


def _matched_label(labels: Labels, service: str) -> str | None:
    """Return the label with this name of a service, with or without its namespace."""
    for label in (service_label(labels), *_SERVICE_LABELS[2:]):
        value = labels.get(label or "", "")
        if service in (value, value.rpartition("/")[2]):
            return label
    return None


def query_contents(store: Store, product: Product, window: float, service: str | None) -> Contents:
    """Run the queries. Raises RefusedError, CannotAskError."""
    clock = (store.query("time()") or [Series("", {}, [])])[0].number
    found = Contents(product, store.url, clock, window, service)
    past = f"last_over_time(%s[{window:.0f}s])"
    start, end = f"{found.now - window:.0f}", f"{found.now + 1:.0f}"
    of_names = {"match[]": f"{{__name__=~{json.dumps(NAMES)}}}", "start": start, "end": end}
    names = store.label_values("__name__", **of_names)
    # A store lists the names of a whole block of hours, so their samples are looked for.
    known = stored(names)
    sampled = _with_samples(store, found, known, past)
    found.stored = [one for one in known if one.counted in sampled]
    if found.stored:
        _query_processes(store, found)
    if found.processes:
        sampled = _with_samples(store, found, known, past)
        found.stored = [one for one in known if one.counted in sampled]
        found.fresh = _with_samples(store, found, known, "%s")
        found.targets = _targets(store, found)
        found.rules = dict(_rules(store))
        found.interval = _interval(store, found)
        found.falling = _falling(store, found)
        found.failures = list(_failures(store, found))
    elif not found.stored:
        own = tuple(one.name for one in known)
        found.others = [name for name in names if not name.startswith(own)]
        found.empty = not store.label_values("__name__", start=start, end=end, limit="1")
    if not found.fresh:
        found.down = list(_down(store))
    return found


def _with_samples(store: Store, found: Contents, known: Sequence[Stored], pattern: str) -> set[str]:
    if not known:
        return set()
    names = matcher("__name__", sorted({one.counted for one in known}))
    chosen = pattern % selector("", [names, *found.matchers])
    return {row.name for row in store.query(f"count by (__name__) ({chosen})", found.now)}


def _names(known: Iterable[Stored], metrics: Iterable[semconv.Metric]) -> list[str]:
    """Return the names of these metrics in the store, in this order."""
    by_metric = {one.metric: one.counted for one in known}
    return [by_metric[metric] for metric in metrics if metric in by_metric]


def _query_processes(store: Store, found: Contents) -> None:
    name = (_names(found.stored, _OF_PROCESSES) or [found.stored[0].counted])[0]
    one = selector(name)
    step = max(int(found.window / 60), _STEP)

    def values(promql: str) -> dict[tuple[tuple[str, str], ...], float]:
        rows = store.query(promql, found.now)
        return {tuple(sorted(row.labels.items())): row.number for row in rows}

    # The instant query has the exact time of the newest sample, and no series that the store
    # marked as ended. The subqueries look at some moments only, and include ended series.
    exact = values(f"timestamp({one})")
    recent = f"(timestamp({one})[{_RECENT}s:{_STEP}s])"
    first, samples = values(f"min_over_time{recent}"), values(f"count_over_time({one}[{_RECENT}s])")
    last = values(f"max_over_time(timestamp({one})[{found.window:.0f}s:{step}s])")
    for key, when in (values(f"max_over_time{recent}") | exact).items():
        last[key] = max(last.get(key, 0.0), when)
    for key, when in last.items():
        # The first moment that was looked at can be a step after the first sample.
        span, number = when - first.get(key, when) + _STEP, samples.get(key, 0.0)
        patience = min(max(3 * span / (number - 1), 10.0), LOOKBACK) if number > 1 else LOOKBACK
        lives = key in exact and found.now - when <= patience
        found.processes.append(StoredProcess(dict(key), when, lives))
    names = {one.labels.get(service_label(one.labels) or "", "") for one in found.processes}
    found.services = sorted(filter(None, names))
    if found.service is not None:
        own = [(_matched_label(one.labels, found.service), one) for one in found.processes]
        found.processes = [one for label, one in own if label]
        for label in [label for label, _ in own if label][:1]:
            services = {one.labels[label] for other, one in own if other == label}
            found.matchers = [matcher(label, sorted(services))]


def _targets(store: Store, found: Contents) -> set[tuple[str, str]]:
    """Find scrape targets with the job or the instance of a process."""
    selected = [
        f"last_over_time(up{{{matcher(label, values)}}}[{found.window:.0f}s])"
        for label in ("job", "instance")
        if (values := sorted({one.labels.get(label, "") for one in found.processes})[:50])
    ]
    rows = store.query(" or ".join(selected), found.now)
    return {(row.labels.get("job", ""), row.labels.get("instance", "")) for row in rows}


def _interval(store: Store, found: Contents) -> float | None:
    """Return the median distance of the samples of the series with the newest one."""
    newest = max(found.processes, key=lambda one: one.last)
    matchers = [matcher(label, [value]) for label, value in sorted(newest.labels.items())]
    name = (_names(found.stored, _OF_PROCESSES) or [found.stored[0].counted])[0]
    rows = store.query(f"{selector(name, matchers)}[{_RECENT}s]", newest.last + 0.001)
    times = [when for when, _ in rows[0].samples] if rows else []
    distances = sorted(b - a for a, b in itertools.pairwise(times))
    return distances[len(distances) // 2] if distances else None


def _falling(store: Store, found: Contents) -> tuple[Labels, float] | None:
    """Find the counter of a living process that falls most often."""
    living = [[one.labels.get(label) for label in PROCESS_LABELS] for one in found.living]
    # The short window detects a second process that has just begun.
    spans = (60.0, max(_RECENT, 10 * (found.interval or 0.0)))
    for name, span in itertools.product(_names(found.stored, _COUNTERS), spans):
        one = f"{selector(name, found.matchers)}[{span:.0f}s]"
        share = f"resets({one}) / count_over_time({one}) >= {_SHARE_OF_FALLS}"
        for row in store.query(f"topk(3, {share} and resets({one}) >= {_FALLS})", found.now):
            if [row.labels.get(label) for label in PROCESS_LABELS] in living:
                return row.labels, row.number
    return None


def _failures(store: Store, found: Contents) -> Iterator[str]:
    by_kind = f"sum by ({label_name(semconv.INSTRUMENTATION_KIND)})"
    for name in _names(found.stored, _FAILURES):
        for row in store.query(f"{by_kind} ({selector(name, found.matchers)}) > 0", found.now):
            yield f"{' '.join(row.labels.values()) or name} ({row.number:.0f})"


def _rules(store: Store) -> Iterator[tuple[str, str]]:
    groups = store.optional("/api/v1/rules", type="record").get("groups")
    for group in groups if isinstance(groups, list) else ():
        rules = group.get("rules") if isinstance(group, dict) else None
        for one in rules if isinstance(rules, list) else ():
            if isinstance(one, dict) and {"name", "query"} <= one.keys():
                yield str(one["name"]), str(one["query"])


def _down(store: Store) -> Iterator[str]:
    targets = store.optional("/api/v1/targets", state="active").get("activeTargets")
    for one in targets if isinstance(targets, list) else ():
        if isinstance(one, dict) and one.get("health") == "down":
            yield f"{one.get('scrapePool')} {one.get('scrapeUrl')}: {one.get('lastError')}"

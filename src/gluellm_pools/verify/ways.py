"""By which way the data came, judged from its labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from opentelemetry.instrumentation.gluellm.telemetry.prometheus import Way

from .facts import Facts, Labels, Series, service_label
from .product import Kind

_INSTANCE_LABELS = ("instance", "service_instance_id", "service.instance.id")
_SCOPE = "otel_scope_name"
_ADDRESS = re.compile(r".+:\d{1,5}")
FURTHER = ("service.version", "service.namespace", "deployment.environment.name")
"""Attributes of the resource that boards can filter by."""


@dataclass(slots=True)
class Arrival:
    """Data that came by one way, with the same labels."""

    way: Way | None
    """None where the labels fit none of those that are known."""
    because: str
    service_label: str | None
    instance_label: str | None
    instances: dict[str, set[str]] = field(default_factory=dict)
    """Instances by service."""
    identities: set[tuple[str, str]] = field(default_factory=set)
    """Service and instance as the labels have them, and as ``target_info`` does."""
    last: dict[tuple[str, str], float] = field(default_factory=dict)
    """When the last sample of a service's instance was taken."""
    further: dict[str, str] = field(default_factory=dict)
    """Label by attribute, for those of `FURTHER` that are labels."""
    on_info: set[str] = field(default_factory=set)
    """Those that are on ``target_info`` alone."""

    @property
    def newest(self) -> float:
        return max(self.last.values(), default=0.0)

    @property
    def name(self) -> str:
        return self.way.value if self.way is not None else "a way that is not known"


def arrivals(facts: Facts, processes: Sequence[Series] | None = None) -> list[Arrival]:
    """The ways that the data of all processes, or of these, came by: the freshest first."""
    found: dict[tuple[Way | None, str | None, str | None], Arrival] = {}
    for series in facts.processes if processes is None else processes:
        labels = series.labels
        way, because = way_of(labels, facts)
        service = service_label(labels)
        instance = _instance_label(labels)
        key = (way, service, instance)
        arrival = found.setdefault(key, Arrival(way, because, service, instance))
        pair = labels.get(service or "", ""), labels.get(instance or "", "")
        arrival.instances.setdefault(pair[0], set()).add(pair[1])
        arrival.identities |= {pair, *_on_page(labels, facts.info)}
        arrival.last[pair] = max(arrival.last.get(pair, 0.0), series.last)
        for attribute in FURTHER:
            for form in (attribute.replace(".", "_"), attribute):
                if form in labels:
                    arrival.further[attribute] = form
    for arrival in found.values():
        arrival.on_info = _on_info(arrival, facts.info) - set(arrival.further)
    return sorted(found.values(), key=lambda arrival: -arrival.newest)


def _instance_label(labels: Labels) -> str | None:
    # Without honor_labels the scrape's own instance stands where the process' should.
    if "exported_job" in labels or "exported_instance" in labels:
        return "exported_instance" if "exported_instance" in labels else None
    return next((label for label in _INSTANCE_LABELS if label in labels), None)


def way_of(labels: Labels, facts: Facts) -> tuple[Way | None, str]:
    """The way of one series, and what tells."""
    job, instance = labels.get("job", ""), labels.get("instance", "")
    if "exported_job" in labels or "exported_instance" in labels:
        return Way.COLLECTOR, "exported_job: scraped without honor_labels"
    if "scope_name" in labels or "scope.name" in labels:
        return Way.VICTORIA_METRICS, "scope_name, and the resource's attributes as labels"
    if (job, instance) in facts.targets:
        return Way.READER, "job and instance are those of a scrape's target"
    # Older Collectors add no labels of a scope: then no series of the store has them.
    without_scope = not any(_SCOPE in series.labels for series in facts.processes)
    if _SCOPE not in labels and not (facts.scraped and without_scope):
        if facts.product.kind == Kind.VICTORIA_METRICS:
            return None, "neither labels of a scope nor of a scrape: remote write?"
        return Way.PROMETHEUS, "no labels of a scope, no scrape; remote write looks the same"
    if facts.product.promotes_scope and not facts.scraped:
        return Way.PROMETHEUS, "promote_scope_metadata is on, and no target has these metrics"
    if _ADDRESS.fullmatch(instance) and _is_reader(job, facts.info):
        return Way.READER, "target_info has service_name as a label"
    return Way.COLLECTOR, f"{_SCOPE}, with job and instance of the process"


def _is_reader(job: str, info: Sequence[Labels]) -> bool:
    return any("service_name" in labels and labels.get("job") == job for labels in info)


def _on_page(labels: Labels, info: Sequence[Labels]) -> set[tuple[str, str]]:
    """What a page that is scraped tells of its process: its labels are the scrape's."""
    found = set()
    for one in info:
        name, instance = one.get("service_name", ""), one.get("service_instance_id", "")
        if instance and all(labels.get(key) == one.get(key) for key in ("job", "instance")):
            namespace = one.get("service_namespace")
            found.add((f"{namespace}/{name}" if namespace else name, instance))
    return found


def _on_info(arrival: Arrival, info: Sequence[Labels]) -> set[str]:
    services = set(arrival.instances)
    return {
        attribute
        for labels in info
        if labels.get(service_label(labels) or "") in services
        for attribute in FURTHER
        if attribute.replace(".", "_") in labels or attribute in labels
    }


def scrape_instance(arrival: Arrival, facts: Facts) -> bool:
    """Whether what should tell processes apart is the address of what was scraped."""
    if arrival.way is not Way.COLLECTOR or arrival.instance_label is None:
        return False
    addresses = {instance for _, instance in facts.targets}
    instances = {one for several in arrival.instances.values() for one in several}
    return bool(instances) and instances <= addresses


def twice(found: Sequence[Arrival]) -> set[str]:
    """Services with a process whose data comes by several of these ways: sums count it double."""
    seen: dict[tuple[str, str], set[Way | None]] = {}
    for arrival in found:
        for identity in arrival.identities:
            seen.setdefault(identity, set()).add(arrival.way)
    return {service for (service, _), several in seen.items() if len(several) > 1}


def mixed(found: Sequence[Arrival]) -> set[str]:
    """Services whose processes differ in the way, as far as their labels tell."""
    seen: dict[str, set[Way | None]] = {}
    for arrival in found:
        for service in {service for service, _ in arrival.identities}:
            seen.setdefault(service, set()).add(arrival.way)
    return {service for service, several in seen.items() if len(several) > 1} - twice(found)

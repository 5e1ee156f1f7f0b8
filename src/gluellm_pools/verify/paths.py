"""Derives the ingestion path from the labels of the series."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..prometheus import Way
from .contents import Contents, Labels, StoredProcess, service_label
from .product import VICTORIA_METRICS

_INSTANCE_LABELS = ("exported_instance", "instance", "service_instance_id", "service.instance.id")


@dataclass(slots=True)
class IngestionPath:
    """The processes whose data took the same path and has the same labels."""

    way: Way | None
    """None if the labels fit no known path."""
    because: str
    service_label: str | None
    instance_label: str | None
    instances: dict[str, set[str]] = field(default_factory=dict)
    """Instances by service."""
    newest: float = 0.0
    """Time of the newest sample."""

    @property
    def name(self) -> str:
        return self.way.value if self.way is not None else "unknown path"


def paths(contents: Contents, processes: Iterable[StoredProcess]) -> list[IngestionPath]:
    """Return the ingestion paths of these processes, the one with the newest sample first."""
    found: dict[tuple[Way | None, str | None, str | None], IngestionPath] = {}
    for process in processes:
        labels = process.labels
        way, why = _way(labels, contents)
        service, instance = service_label(labels), _instance_label(labels)
        one = found.setdefault((way, service, instance), IngestionPath(way, why, service, instance))
        instances = one.instances.setdefault(labels.get(service or "", ""), set())
        instances.add(labels.get(instance or "", ""))
        one.newest = max(one.newest, process.last)
    return sorted(found.values(), key=lambda path: -path.newest)


def _instance_label(labels: Labels) -> str | None:
    # Without honor_labels, the label `instance` names the scrape target, not the process.
    known = _INSTANCE_LABELS[:1] if "exported_job" in labels else _INSTANCE_LABELS
    return next((label for label in known if label in labels), None)


def _way(labels: Labels, contents: Contents) -> tuple[Way | None, str]:
    if "exported_job" in labels or "exported_instance" in labels:
        return Way.COLLECTOR, "exported_job: scraped without honor_labels"
    if "scope_name" in labels or "scope.name" in labels:
        return Way.VICTORIA_METRICS, "scope_name, and the resource's attributes as labels"
    if (labels.get("job", ""), labels.get("instance", "")) in contents.targets:
        return Way.READER, "job and instance are those of a scrape target"
    if "otel_scope_name" not in labels:
        if contents.product.name == VICTORIA_METRICS:
            return None, "no labels of a scope or of a scrape: remote write?"
        return Way.PROMETHEUS, "no scope labels; may also be remote write or an old Collector"
    if contents.product.promotes_scope:
        return Way.PROMETHEUS, "promote_scope_metadata is on; may also be a scraped Collector"
    return Way.COLLECTOR, "otel_scope_name, with job and instance of the process"


def has_scrape_address(path: IngestionPath, contents: Contents) -> bool:
    """Whether the instance is the address of the scraped Collector instead of the process' own."""
    addresses = {instance for _, instance in contents.targets}
    instances = set().union(*path.instances.values())
    return path.way is Way.COLLECTOR and bool(path.instance_label) and instances <= addresses


def services_on_two_paths(found: Iterable[IngestionPath]) -> list[str]:
    """Return the services with a process that has data on two paths."""
    ways: dict[tuple[str, str], set[Way | None]] = {}
    for path in found:
        for service, instances in path.instances.items():
            for instance in instances:
                ways.setdefault((service, instance), set()).add(path.way)
    return sorted({service for (service, _), several in ways.items() if len(several) > 1})

"""What a store answered: all that is judged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .naming import Stored
from .product import Product

Labels = dict[str, str]

LONG_AGO = 14 * 86_400.0
LOOKBACK = 300.0
"""Seconds after which a query no longer sees a series that got no sample."""
RATE_WINDOW = 300.0
RECENT = 600.0
"""Seconds for which samples are looked at one by one."""
STEP = 15.0
SERVICE_LABELS = ("exported_job", "job", "service_name", "service.name")
"""Labels that can hold ``service.name``, the one that is taken first."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series that stands for a process, or for one of its pools."""

    labels: Labels
    """Without the name."""
    last: float
    """When its last sample was taken, in seconds since the epoch."""
    within: float = LOOKBACK
    """Seconds from one sample within which the next one comes, if the process lives."""
    first: float | None = None
    """When the first of its newest samples was taken; None where that is not known."""
    marked: bool = False
    """Whether the store knows that it has ended, as after a scrape without it."""

    def lives(self, moment: float) -> bool:
        """Whether more samples are to be expected."""
        return not self.marked and moment - self.last <= self.within


@dataclass(frozen=True, slots=True)
class FallingCounter:
    """A counter that fell several times."""

    labels: Labels
    falls: float
    samples: float
    over: bool = False
    """Whether its newest samples rise, or it gets none any more."""
    until: float | None = None
    """When it fell last, or had its last sample; None for more than 10 minutes ago."""
    deltas: bool = False
    """Whether one exporter wrote it, and every sample is a count of its own."""

    @property
    def share(self) -> float:
        """Falls per sample."""
        return self.falls / self.samples if self.samples else 0.0


@dataclass(frozen=True, slots=True)
class Facts:
    """The answers."""

    product: Product
    now: float
    """The store's clock."""
    window: float
    """Seconds that were looked back over."""
    stored: list[Stored] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    """Names that look like ours and are none of the contract."""
    empty: bool = False
    """Whether the store has no series at all in the window."""
    counts: dict[str, int] = field(default_factory=dict)
    """Series in the window, by name. Of histograms those of ``_count``."""
    fresh: dict[str, int] = field(default_factory=dict)
    """Of these, the ones that a query would see now."""
    newest_names: set[str] | None = None
    """The names that get samples still; None where that is not known."""
    processes: list[Series] = field(default_factory=list)
    info: list[Labels] = field(default_factory=list)
    """The label sets of ``target_info``."""
    targets: dict[tuple[str, str], float] = field(default_factory=dict)
    """What ``up`` last was, by job and instance, for the jobs and instances of `processes`."""
    down: list[str] = field(default_factory=list)
    """Targets that can't be scraped, each with the reason, when nothing is fresh."""
    scraped: bool | None = None
    """Whether a target of this store exposes our metrics; None where it does not tell."""
    interval: float | None = None
    """Seconds between two samples of one series."""
    writers: int = 1
    """How many exporters seem to write into one and the same series."""
    falling: list[FallingCounter] = field(default_factory=list)
    missing_hooks: dict[str, float] = field(default_factory=dict)
    """Number of missing hooks by library, where there are any."""
    failures: dict[str, float] = field(default_factory=dict)
    """The instrumentation's own failures and lost records, by kind, where there are any."""
    earlier: bool = False
    """Whether there was data of ours within `LONG_AGO`, before the window."""
    ahead: bool = False
    """Whether there is data of ours with a time that is yet to come."""
    service: str | None = None
    """What the look was narrowed to."""
    services: list[str] = field(default_factory=list)
    """Those that have data, whatever it was narrowed to."""
    url: str = ""
    """Of the store, without credentials."""

    @property
    def lookback(self) -> float:
        """Seconds after which a query no longer sees a series that got no sample."""
        return LOOKBACK

    @property
    def rate_window(self) -> float:
        """Seconds that the queries' rates look back."""
        return max(RATE_WINDOW, 4 * (self.interval or 0.0))

    @property
    def young(self) -> float | None:
        """Seconds since the first sample when a rate looks back further; None when it does not."""
        firsts = [one.first for one in self.living]
        known = [first for first in firsts if first is not None]
        if not known or len(known) < len(firsts) or self.rate_window > RECENT - STEP:
            return None
        age = self.moment - min(known)
        return age if age < self.rate_window - STEP else None

    @property
    def living(self) -> list[Series]:
        """The series to judge by: those with fresh samples, or the newest where none is fresh."""
        now = [one for one in self.processes if one.lives(self.now)]
        if now:
            return now
        return [one for one in self.processes if self.moment - one.last <= one.within]

    @property
    def ended(self) -> list[Series]:
        """The series that others came after."""
        living = self.living
        return [one for one in self.processes if one not in living]

    @property
    def moment(self) -> float:
        """What "now" means for the data: when all has ended, its end."""
        if any(one.lives(self.now) for one in self.processes):
            return self.now
        return max((one.last for one in self.processes), default=self.now)


def service_label(labels: Labels) -> str | None:
    """The label that holds the service's name."""
    return next((label for label in SERVICE_LABELS if label in labels), None)


def matched_label(labels: Labels, service: str) -> str | None:
    """The label that holds this name of a service; None for another service.

    The job is ``namespace/name`` where the service has a namespace.
    """
    job = next((label for label in SERVICE_LABELS[:2] if label in labels), None)
    if job is not None and service in (labels[job], labels[job].rpartition("/")[2]):
        return job
    return next((label for label in SERVICE_LABELS[2:] if labels.get(label) == service), None)


def matched_values(processes: Iterable[Series], service: str) -> dict[str, list[str]]:
    """What each label holds for this name of a service: several jobs, where namespaces differ."""
    found: dict[str, set[str]] = {}
    for one in processes:
        label = matched_label(one.labels, service)
        if label is not None:
            found.setdefault(label, set()).add(one.labels[label])
    return {label: sorted(values) for label, values in sorted(found.items())}

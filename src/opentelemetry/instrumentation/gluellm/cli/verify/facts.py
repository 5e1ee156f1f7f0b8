"""What a store answered: all that is judged."""

from __future__ import annotations

from dataclasses import dataclass, field

from .naming import Stored
from .product import Product

Labels = dict[str, str]

LONG_AGO = 14 * 86_400.0
SERVICE_LABELS = ("exported_job", "job", "service_name", "service.name")
"""Labels that can hold ``service.name``, the one that is taken first."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series that stands for a process, or for one of its pools."""

    labels: Labels
    """Without the name."""
    last: float
    """When its last sample was taken, in seconds since the epoch."""


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
    resets: list[tuple[Labels, float, float]] = field(default_factory=list)
    """Falls of a counter and its samples in the window, where there are several falls."""
    blind: list[tuple[str, str]] = field(default_factory=list)
    """Library and name of each seam that is 0."""
    failures: dict[str, float] = field(default_factory=dict)
    """The instrumentation's own failures and lost records, by kind, where there are any."""
    earlier: bool = False
    """Whether there was data of ours within `LONG_AGO`, before the window."""
    ahead: bool = False
    """Whether there is data of ours with a time that is yet to come."""
    service: str | None = None
    """What the look was narrowed to."""

    @property
    def lookback(self) -> float:
        """Seconds after which a query no longer sees a series that got no sample."""
        return 300.0


def service_label(labels: Labels) -> str | None:
    """The label that holds the service's name."""
    return next((label for label in SERVICE_LABELS if label in labels), None)

"""What an incident is: who runs, what goes wrong, and which alerts have to say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from studies.accuracy.scoring.causes import Cause
from studies.accuracy.scoring.plan import Fault, Setting

PAGES = frozenset({"GlueLLMRequestsStuck", "GlueLLMPoolTimeouts"})
"""The alerts that page."""
HOLDS_BACK = PAGES | {"GlueLLMEventLoopBlocked", "GlueLLMHttp2StreamsOrphaned"}
"""The alerts that others wait for in Alertmanager."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One process of the service."""

    version: str = "1.4.0"
    joins: bool = False
    """Whether it is started when the incident begins, and brings it along."""
    setting: Setting | None = None
    """Instead of the incident's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One service, that is well until something goes wrong."""

    name: str
    answer: str
    """What goes wrong, for whoever has looked."""
    cause: Cause
    """As `diagnose` would call it."""
    setting: Setting
    beside: Setting | None
    """Another provider of the same service, which is well all the time."""
    fault: Fault
    instances: tuple[Instance, ...] = (Instance(),)
    expects: Mapping[str, float] = field(default_factory=dict)
    """Alerts that have to fire, and how many seconds after the beginning what each watches is
    there, as the load is."""
    allows: frozenset[str] = frozenset()
    """Alerts below a page that may fire as well, being right too."""

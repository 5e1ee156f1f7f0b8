"""The catalogue of incidents: applications that work until something goes wrong.

``score``, ``incident`` and the pictures of the boards use it. ``expected.toml`` states what must be
reported about each.
"""

import inspect
import random
import tomllib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .incidents import controls, establishing, holding, process, refusals, situations, timeouts

Sign = Sequence[Any]
"""A signal of the overview, the value that it has to reach, and the value of a label where the
signal has several lines. ``x3`` is three times the median before the incident."""
MILD: Final = "GlueLLMCallsSlow"
SYMPTOMS: Final = {"GlueLLMCallsFail", "GlueLLMCallsSilent", MILD}
"""Alerts that name no cause."""
BY_FINDINGS: Final = {"GlueLLMFindingError", "GlueLLMFindingWarning"}
"""Alerts that name the kind of a finding."""
CONTROL: Final = "nothing"
"""Cause of a control, in which nothing is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An application that goes wrong, and what has to be reported about it."""

    play: Callable[[Any], Awaitable[None]]
    """The application, as a function of its `App`."""
    where: str = ""
    """Stage of the call, or phase of its request, in which time is lost or calls fail."""
    cause: str = CONTROL
    """The kind of the cause: a `Kind` of ``diagnose()`` where there is one."""
    facts: Sequence[str] = ()
    """Patterns that the first finding has to match, so that a reader knows the cause."""
    alert: str | None = None
    no_alert: str = ""
    """Reason why no alert has to fire."""
    also: Sequence[str] = ()
    """Further alerts that name a right cause."""
    signs: Sequence[Sign] = ()
    """Two signals of the overview that have to show it."""

    @property
    def name(self) -> str:
        return self.play.__name__.replace("_", "-")

    @property
    def answer(self) -> str:
        """What goes wrong, on one line."""
        return " ".join((self.play.__doc__ or "").split())

    @property
    def doctor(self) -> int:
        """The exit status of ``gluellm-pools doctor --pid``."""
        return int(self.cause != CONTROL)


EXPECTED: Final = tomllib.loads(Path(__file__).with_name("expected.toml").read_text())
PLAYS: Final = {
    name.replace("_", "-"): play
    for module in (controls, establishing, holding, process, refusals, timeouts, situations)
    for name, play in sorted(vars(module).items())
    if inspect.iscoroutinefunction(play) and play.__module__ == module.__name__
}
INCIDENTS: Final = {
    name: Incident(play=play, **EXPECTED["incident"].get(name, {"no_alert": "nothing is wrong"}))
    for name, play in sorted(PLAYS.items())
}
SITUATIONS: Final = {name for name, play in PLAYS.items() if play.__module__ == situations.__name__}
"""Rules were mended by these, so all of them are in the tuning half."""
SPLIT_SEED: Final = 20261128
"""Drawn before any incident was played. Another seed makes all figures incomparable."""


def _half(number: int) -> list[str]:
    """Every second incident in an order that the seed alone decides, incidents before controls."""
    names = [name for name in INCIDENTS if name not in SITUATIONS]
    random.Random(SPLIT_SEED).shuffle(names)
    names.sort(key=lambda name: INCIDENTS[name].cause == CONTROL)
    return names[number::2]


HALVES: Final = {"tuning": sorted([*_half(0), *SITUATIONS]), "verification": sorted(_half(1))}
"""Thresholds and rules may be set by the first; the second only verifies them."""

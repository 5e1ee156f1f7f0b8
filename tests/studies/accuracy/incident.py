"""What an incident is: an application that goes wrong, and what has to be reported about it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

Play = Callable[[Any], Awaitable[None]]
"""The application, as a function of its `App`."""
Sign = tuple[str, float | str] | tuple[str, float | str, str]
"""A signal of the overview, the value that it has to reach, and the value of a label where the
signal has several lines. ``x3`` is three times the median before the incident."""

CALLS_FAIL: Final = "GlueLLMCallsFail"
CANCELLED: Final = "GlueLLMCallsCancelled"
SILENT: Final = "GlueLLMCallsSilent"
SLOW: Final = "GlueLLMCallsSlow"
STUCK: Final = "GlueLLMRequestsStuck"
TIMEOUTS: Final = "GlueLLMPoolTimeouts"
NEAR: Final = "GlueLLMWaitNearTimeout"
LEAK: Final = "GlueLLMConnectionLeakSuspected"
CONNECT: Final = "GlueLLMConnectFailures"
REUSE: Final = "GlueLLMReuseFailures"
ORPHANED: Final = "GlueLLMHttp2StreamsOrphaned"
BLOCKED: Final = "GlueLLMEventLoopBlocked"
CHURN: Final = "GlueLLMClientChurn"
ANOMALY: Final = "GlueLLMPoolAnomaly"
SYMPTOMS: Final = {CALLS_FAIL, CANCELLED, SILENT, SLOW}
"""Alerts that name no cause."""

CONTROL: Final = "nothing"
"""The cause where nothing is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Stated before the incident was played first; a change of an expectation needs a reason."""

    play: Play
    where: str
    """Stage of the call, or phase of its request, in which the time goes or the calls fail."""
    cause: str
    """The kind of the cause: a `Kind` of ``diagnose()`` where there is one."""
    says: tuple[str, ...] = ()
    """Patterns: what somebody has to read in the first finding to know the cause."""
    alert: str | None = None
    no_alert: str = ""
    """Why none has to fire."""
    also: tuple[str, ...] = ()
    """Alerts about a cause that are right as well."""
    signs: tuple[Sign, ...] = ()
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


PLAYED: Final[dict[str, Incident]] = {}


def incident(
    where: str, cause: str, *says: str, signs: tuple[Sign, ...] = (), **more: Any
) -> Callable[[Play], Play]:
    """Add an application to the catalogue."""

    def add(play: Play) -> Play:
        one = Incident(play=play, where=where, cause=cause, says=says, signs=signs, **more)
        PLAYED[one.name] = one
        return play

    return add


control: Final = incident("", CONTROL, no_alert="nothing is wrong")
"""Adds an application that is well although it looks unusual."""
